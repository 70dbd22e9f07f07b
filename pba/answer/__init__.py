"""What should the kernel do? Prices, costs and the study of all policies on long runs."""
