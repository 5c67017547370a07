#!/bin/sh
# claims_test.sh <course> <source> <bin>: docs/claims.md is what the labs state; 77 where a lab was not built.
page=$("$1" claims --labs "$2/labs" --bin "$3") || exit
printf '%s\n' "$page" | diff "$2/docs/claims.md" - && exit
echo "docs/claims.md is not what the labs state: make claims writes it anew."
exit 1
