# What infra/openstack/machines.ts makes of the settings the bench writes, once more for OpenTofu: the same resources with the same
# properties, through the same provider. Change them together; tools/bench/openstack.ts compares what both made.

terraform {
  required_providers {
    openstack = { source = "terraform-provider-openstack/openstack" }
  }
}

variable "environment" { type = string }
variable "cloud" { type = string }
variable "cidr" { type = string }
variable "shared_network" { type = string }
variable "pool" { type = string }
variable "image" { type = string }
variable "flavor" { type = string }
variable "public_key" { type = string }

# Address on the private network by node name; the world reaches `home`.
variable "nodes" { type = map(string) }
variable "home" { type = string }

# TCP ports open to everybody.
variable "ports" { type = list(number) }

# What our instances are told, with keys that are used nowhere.
variable "user_data" { type = map(string) }

locals {
  mark = "gourmetgram-environment=${var.environment}"
}

provider "openstack" {
  cloud       = var.cloud
  max_retries = 5
}

data "openstack_networking_network_v2" "shared" {
  name = var.shared_network
}

resource "openstack_networking_network_v2" "private" {
  name                  = "private-net-${var.environment}"
  admin_state_up        = true
  port_security_enabled = false
  tags                  = [local.mark]
}

resource "openstack_networking_subnet_v2" "private" {
  name        = "private-subnet-${var.environment}"
  network_id  = openstack_networking_network_v2.private.id
  cidr        = var.cidr
  ip_version  = 4
  enable_dhcp = true
  no_gateway  = true
  tags        = [local.mark]
}

resource "openstack_networking_secgroup_v2" "nodes" {
  name        = "nodes-${var.environment}"
  description = "All nodes: nothing comes in, everything may go out"
  tags        = [local.mark]
}

resource "openstack_networking_secgroup_v2" "access" {
  name        = "access-${var.environment}"
  description = "The edge node: SSH, the Kubernetes API and the public services"
  tags        = [local.mark]
}

resource "openstack_networking_secgroup_rule_v2" "access" {
  for_each          = toset([for port in var.ports : tostring(port)])
  security_group_id = openstack_networking_secgroup_v2.access.id
  direction         = "ingress"
  ethertype         = "IPv4"
  protocol          = "tcp"
  port_range_min    = tonumber(each.key)
  port_range_max    = tonumber(each.key)
  remote_ip_prefix  = "0.0.0.0/0"
}

resource "openstack_compute_keypair_v2" "login" {
  name       = "key-${var.environment}"
  public_key = var.public_key
}

resource "openstack_networking_port_v2" "shared" {
  for_each       = var.nodes
  name           = "shared-${each.key}-${var.environment}"
  network_id     = data.openstack_networking_network_v2.shared.id
  admin_state_up = true
  security_group_ids = concat(
    [openstack_networking_secgroup_v2.nodes.id],
    each.key == var.home ? [openstack_networking_secgroup_v2.access.id] : [],
  )
  tags = [local.mark]
}

resource "openstack_networking_port_v2" "private" {
  for_each       = var.nodes
  name           = "port-${each.key}-${var.environment}"
  network_id     = openstack_networking_network_v2.private.id
  admin_state_up = true
  fixed_ip {
    subnet_id  = openstack_networking_subnet_v2.private.id
    ip_address = each.value
  }
  port_security_enabled = false
  no_security_groups    = true
  tags                  = [local.mark]
}

resource "openstack_compute_instance_v2" "node" {
  for_each    = var.nodes
  name        = "${each.key}-${var.environment}"
  flavor_name = var.flavor
  image_name  = var.image
  key_pair    = openstack_compute_keypair_v2.login.name
  network { port = openstack_networking_port_v2.shared[each.key].id }
  network { port = openstack_networking_port_v2.private[each.key].id }
  user_data = var.user_data[each.key]
  metadata  = { gourmetgram-environment = var.environment, gourmetgram-node = each.key }
  timeouts {
    create = "10m"
    update = "10m"
    delete = "10m"
  }
}

resource "openstack_networking_floatingip_v2" "home" {
  pool        = var.pool
  description = local.mark
}

resource "openstack_networking_floatingip_associate_v2" "home" {
  floating_ip = openstack_networking_floatingip_v2.home.address
  port_id     = openstack_networking_port_v2.shared[var.home].id
}

output "address" {
  value = openstack_networking_floatingip_associate_v2.home.floating_ip
}
