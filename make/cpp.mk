# The tests of the torch-free core: plain C++, no torch and no Python. The flags that decide a result are those of the
# package; optimisation and warnings are their own.
#
# cpp-test: optimised · sanitize: under AddressSanitizer and UndefinedBehaviorSanitizer · check-aarch64: cross-compiled
# and run under QEMU. Each runs the program once for every instruction set that the CPU has.

CORE_TESTS_SOURCES := csrc/grouping.cpp $(wildcard csrc/cpu/*.cpp tests/cpp/*.cpp)
CORE_TESTS_FLAGS := $(shell cat make/result_flags.txt) -Icsrc -pthread -MMD -MP \
  -Wall -Wextra -Wno-psabi -Wno-uninitialized -Wno-maybe-uninitialized -Wno-unknown-pragmas
X86_FLAGS := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2)
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all
AARCH64_CXX := aarch64-linux-gnu-g++
AARCH64_RUN := qemu-aarch64-static

.PHONY: cpp-test sanitize check-aarch64 aarch64-tools

# $(1): build/cpp/<variant>, $(2): compiler, $(3): flags
define core_tests
$(1)/core_tests: $$(CORE_TESTS_SOURCES:%.cpp=$(1)/%.o)
	$(2) $(3) -pthread $$^ -o $$@
$(1)/%.o: %.cpp make/cpp.mk make/result_flags.txt
	@mkdir -p $$(@D)
	$(2) $$(CORE_TESTS_FLAGS) $(3) -c $$< -o $$@
-include $$(CORE_TESTS_SOURCES:%.cpp=$(1)/%.d)
endef
$(eval $(call core_tests,build/cpp/optimised,$(CXX),-O2 $(X86_FLAGS)))
$(eval $(call core_tests,build/cpp/sanitized,$(CXX),-O1 -g $(X86_FLAGS) $$(SANITIZERS)))
$(eval $(call core_tests,build/cpp/aarch64,$(AARCH64_CXX),-O2 -static))

# 77: this CPU does not have that instruction set
run_everywhere = for capability in baseline avx2 avx512; do \
    GAPO_CPU_CAPABILITY=$$capability $(1) || test $$? -eq 77 || exit 1; \
  done

cpp-test: build/cpp/optimised/core_tests
	@$(call run_everywhere,$<)

sanitize: build/cpp/sanitized/core_tests
	@$(call run_everywhere,$<)

check-aarch64: aarch64-tools
	$(MAKE) -f make/cpp.mk build/cpp/aarch64/core_tests
	$(AARCH64_RUN) build/cpp/aarch64/core_tests --small

aarch64-tools:
	@command -v $(AARCH64_CXX) >/dev/null && command -v $(AARCH64_RUN) >/dev/null || \
	  { echo 'check-aarch64 needs the Debian packages g++-aarch64-linux-gnu and qemu-user-static'; exit 1; }
