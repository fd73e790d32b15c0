# Container hosts: machines with systemd and sshd on a network without a way out. Included by the Makefile at the top.

FLEET ?= dev
HOSTS ?= 4

.PHONY: hosts hosts-down hosts-list test-hosts

hosts: ## Boot HOSTS container hosts (or keep them when they run), named FLEET
	go run ./e2e/hosts/cmd/hosts up --name $(FLEET) --count $(HOSTS) --keep

hosts-down: ## Remove the container hosts named FLEET
	go run ./e2e/hosts/cmd/hosts down --name $(FLEET)

hosts-list: ## List all container hosts and how to log in
	go run ./e2e/hosts/cmd/hosts list

test-hosts: ## Test the container hosts themselves
	go run ./e2e/hosts/cmd/hosts image
	go test -tags e2e -count 1 -timeout 10m ./e2e/hosts/...
