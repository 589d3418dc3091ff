# make help lists the targets. All need root; what they install is in .ci/bootstrap.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint bench cloud matrix upgrade deb packages sample clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/ready ## show all of it on real guests, in under two minutes
	@.ci/tidily $(BIN)/python -m demo

test: $(VENV)/ready ## run every test: real libvirtd, QEMU, MariaDB and Nova
	.ci/tidily --in-memory .ci/everything $(BIN)

lint: $(VENV)/ready ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/ready ## measure what the hook costs, and the commands beside nova-manage
	.ci/tidily $(BIN)/python -m bench
	.ci/tidily $(BIN)/tox run -q --workdir .tox/nova -e bench

cloud: $(VENV)/ready ## try every path of a running OpenStack; the first time it downloads 330 MB
	@command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
	@.ci/tidily $(BIN)/python -m tests.cloud

matrix: $(VENV)/ready ## try forecasts and mthook on four Debians and virtqemud; downloads 220 MB each time, the first time 2 GB
	@command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
	@.ci/tidily $(BIN)/python -m tests.matrix
	@.ci/tidily $(BIN)/python -m tests.matrix.contained

upgrade: $(VENV)/ready ## upgrade a host with guests from Debian 12 to 13; downloads 300 MB twice, the first time 1.2 GB
	@command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
	@.ci/tidily $(BIN)/python -m tests.upgrade

deb: ## build the packages for this release of Debian in build/deb, with Debian's own tools
	@.ci/deb build/deb

packages: $(VENV)/ready ## try the packages, the Ansible role, SELinux and AppArmor in roots of Debian 12 and 13; the first time it downloads 900 MB
	@command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
	@.ci/tidily $(BIN)/python -m tests.packages

sample: $(VENV)/ready ## write etc/mthook.conf.sample and etc/share anew
	$(BIN)/oslo-config-generator --config-file etc/config-generator.conf
	$(BIN)/python docs/_ext/completion.py

clean: ## remove what make made
	rm -rf $(VENV) .tox .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/ready: setup.cfg pyproject.toml .ci/bootstrap
	@.ci/bootstrap $(PYTHON) $(VENV)
	@touch $@
