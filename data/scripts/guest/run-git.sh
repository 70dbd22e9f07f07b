#!/bin/sh
sh "$WL/fill.sh"
rec git-x86 sh "$WL/git.sh"
