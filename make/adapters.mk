# The adapters' tests, inside the frameworks themselves: an environment for each, since they exclude one another's
# requirements. What needs no framework runs in `make test`. Test folders are called inside_<framework>: a folder called
# trl would be imported in place of a missing trl.

ADAPTER_TESTS := test-adapters-trl test-adapters-verl

.PHONY: test-adapters $(ADAPTER_TESTS)

test-adapters: $(ADAPTER_TESTS)

$(ADAPTER_TESTS): test-adapters-%: .venv-%/.built
	.venv-$*/bin/python -m pytest tests/adapters/inside_$*

# the same in another release of verl, which need not find plug-ins itself
VERL_RELEASE ?= 0.8.0
.PHONY: test-adapters-verl-release
test-adapters-verl-release: .venv-verl/.built
	.venv-verl/bin/pip install --quiet --no-deps --upgrade --target build/verl-$(VERL_RELEASE) verl==$(VERL_RELEASE)
	PYTHONPATH=build/verl-$(VERL_RELEASE) VERL_USE_EXTERNAL_MODULES=gapo_kernels.adapters.verl \
	  .venv-verl/bin/python -m pytest tests/adapters/inside_verl

.venv-%/.installed: tests/adapters/inside_%/requirements.txt
	$(call install_requirements,.venv-$*,$<)
	touch $@

.venv-%/.built: .venv-%/.installed $(SOURCES)
	$(FOR_DEVELOPMENT) .venv-$*/bin/pip $(INSTALL_FOR_EDITING)
	touch $@

.PRECIOUS: .venv-%/.installed .venv-%/.built
