# kgateway in TypeScript. `make` alone lists the targets; docs/ and test/lab/README.md say more.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Node 24 and all tools come from package-lock.json; the machine's Node only runs npm and the search for Envoy.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
INSTALLED := node_modules/.installed
STAGES := node scripts/test.mjs
EXAMPLE ?= examples/quickstart

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(INSTALLED): package.json package-lock.json
	@echo '== npm ci' >&2
	@npm ci --no-audit --no-fund --loglevel=error >&2
	@node --version | grep -q '^v24\.' || { echo 'error: node_modules/.bin/node is not Node 24' >&2; echo 'next: npm 11 or later is needed (npm install -g npm@11), which runs the install scripts that package.json allows' >&2; exit 1; }
	@touch $@

.PHONY: run
run: $(INSTALLED) ## serve EXAMPLE (default examples/quickstart) from YAML files through a real Envoy, without a cluster
	ENVOY_PATH="$$(node scripts/envoy.mjs)" node src/cmd/main.ts local $(EXAMPLE)

.PHONY: check
check: $(INSTALLED) ## types, lint, format, fresh generated code, unit and golden tests (2 minutes)
	@$(STAGES) check

.PHONY: test
test: $(INSTALLED) ## check, then everything with real parts: Envoy, Kubernetes (KUBECONFIG's or the lab's), conformance (60 minutes from nothing)
	@$(STAGES) test

.PHONY: golden
golden: $(INSTALLED) ## rewrite the expected output of golden tests; read the diff
	ENVOY_PATH="$$(node scripts/envoy.mjs)" UPDATE_GOLDEN=1 vitest run --project unit golden

.PHONY: conformance
conformance: $(INSTALLED) ## the Gateway API conformance suite alone; PROFILES=GATEWAY-HTTP,MESH-HTTP, ARGS='-run-test NAME'
	@$(STAGES) conformance
	@echo 'the reports are .cache/reports/conformance.yaml and conformance-mesh.yaml; those of a release go to docs/conformance/ unmodified' >&2

.PHONY: bench
bench: $(INSTALLED) ## time from a new HTTPRoute to its first answer, at 0, 1000 and 4000 routes; micro-benchmarks; ARGS=--waypoint for waypoints
	@$(STAGES) bench

.PHONY: lab
lab: $(INSTALLED) ## start the local Kubernetes (12 minutes to build once, then 11 s); export KUBECONFIG="$(test/lab/lab kubeconfig)"
	@test/lab/lab up

.PHONY: images
images: $(INSTALLED) ## build the container images without Docker; the lab has them at once
	@node scripts/images.mjs

.PHONY: install
install: $(INSTALLED) ## images and charts into the cluster: KUBECONFIG's or the lab's
	@$(STAGES) install

.PHONY: format
format: $(INSTALLED) ## format all files
	prettier --write --log-level warn .

.PHONY: generate
generate: $(INSTALLED) ## generate code, CRDs and tables of the documentation again
	node src/xds/proto/generate.ts
	node src/kube/types/generate.ts
	node src/cmd/generate-crds.ts
	node src/cmd/generate-docs.ts

.PHONY: clean
clean: ## remove what was built here; not the lab (test/lab/lab down) and not ~/.cache
	rm -rf node_modules dist .cache coverage
