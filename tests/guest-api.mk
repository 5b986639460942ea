# guest-api/pmuvisor.h and the example, on their own, in C and in C++, with both compilers and as strict as they get.
GUEST_API_WARN	:= -Wall -Wextra -Werror -pedantic -Wshadow -Wundef -Wconversion -fsyntax-only
GUEST_API_ALONE	:= '\#include "guest-api/example.h"'

.PHONY: guest-api
guest-api:
	for compiler in gcc clang; do \
		echo $(GUEST_API_ALONE) | $$compiler -x c -std=c11 $(GUEST_API_WARN) -I. - || exit 1; \
	done
	for compiler in g++ clang++; do \
		echo $(GUEST_API_ALONE) | $$compiler -x c++ -std=c++11 $(GUEST_API_WARN) -I. - || exit 1; \
	done
