# The logic of the CUDA kernels on the CPU: their own templates compiled by the C++ compiler, fibers for threads. No CUDA
# is needed. Fibers jump between stacks, which a fortified longjmp forbids.

CUDA_LOGIC_SOURCES := $(wildcard tests/cuda/cpp/*.cpp) tests/cpp/reference.cpp tests/cpp/samples.cpp
CUDA_LOGIC_FLAGS := $(shell cat make/result_flags.txt) -O1 -U_FORTIFY_SOURCE -Icsrc -Itests/cpp -Itests/cuda/cpp -pthread \
  -MMD -MP -Wall -Wextra -Wno-psabi -Wno-unused-function -Wno-unknown-pragmas -Wno-maybe-uninitialized
CUDA_LOGIC := build/cpp/cuda

.PHONY: cuda-logic-test

$(CUDA_LOGIC)/cuda_logic_tests: $(CUDA_LOGIC_SOURCES:%.cpp=$(CUDA_LOGIC)/%.o)
	$(CXX) -pthread $^ -o $@
$(CUDA_LOGIC)/%.o: %.cpp make/cuda.mk make/result_flags.txt
	@mkdir -p $(@D)
	$(CXX) $(CUDA_LOGIC_FLAGS) -c $< -o $@
-include $(CUDA_LOGIC_SOURCES:%.cpp=$(CUDA_LOGIC)/%.d)

cuda-logic-test: $(CUDA_LOGIC)/cuda_logic_tests
	$<
