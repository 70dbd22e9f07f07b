#!/bin/sh
# gen.sh N: N C files of forty functions each and a makefile; the makefile compiles them
for n in $(seq "$1"); do
  { echo '#include <stdio.h>'; echo '#include <stdlib.h>'; echo '#include <string.h>'; for k in $(seq 40); do echo "int f${n}_$k(int a) { char b[64]; snprintf(b, sizeof b, \"%d\", a * $k); for (int i = 0; b[i]; i++) a += b[i] * $n; return (int)strlen(b) + a; }"; done; } > u"$n".c
done
# shellcheck disable=SC2016 # make expands it
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tar rcs all.a *.o\n%%.o: %%.c\n\tgcc -O1 -c $< -o $@\n' > Makefile
