#!/bin/sh
sh "$WL/fill.sh"
rec node-x86 sh "$WL/node.sh"
