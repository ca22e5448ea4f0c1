package main

import (
	"maps"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/openstack"
)

const packageName = "openstack"

// upstreamPrefix starts all names of the upstream provider.
const upstreamPrefix = "openstack_"

// renamedFields are the properties whose names or shapes do not follow from the upstream schema.
var renamedFields = map[string]map[string]*tfbridge.SchemaInfo{
	"compute_servergroup_v2": {"policies": {MaxItemsOne: tfbridge.False()}},
	"networking_subnet_v2": {
		"allocation_pool":  {Name: "allocationPools"},
		"allocation_pools": {Name: "allocationPoolsCollection"},
	},
	"orchestration_stack_v1": {"outputs": {Name: "StackOutputs"}},
}

// configVariables are the variables that set a provider's arguments when the program does not. The upstream provider
// reads more of them by itself, when it is configured.
var configVariables = map[string]string{
	"allow_reauth":  "OS_ALLOW_REAUTH",
	"cloud":         "OS_CLOUD",
	"delayed_auth":  "OS_DELAYED_AUTH",
	"endpoint_type": "OS_ENDPOINT_TYPE",
	"insecure":      "OS_INSECURE",
	"region":        "OS_REGION_NAME",
	"swauth":        "OS_SWAUTH",
	"use_octavia":   "OS_USE_OCTAVIA",
}

// providerInfo maps the upstream provider to the Pulumi package.
func providerInfo() tfbridge.ProviderInfo {
	upstream := openstack.Provider()
	limitConnecting(upstream)
	// It has a default, so its deprecation is told in every run, to people who never heard of it.
	upstream.Schema["use_octavia"].Deprecated = ""
	info := tfbridge.ProviderInfo{
		P:           sdkv2.NewProvider(upstream),
		Name:        packageName,
		Version:     version,
		Description: "A Pulumi package for creating and managing OpenStack cloud resources.",
		License:     "Apache-2.0",
		Repository:  "https://github.com/pulumi/pulumi-openstack",
		GitHubOrg:   "terraform-provider-openstack",
		Config:      map[string]*tfbridge.SchemaInfo{},
		Resources:   map[string]*tfbridge.ResourceInfo{},
		DataSources: map[string]*tfbridge.DataSourceInfo{},
	}
	for field, variable := range configVariables {
		info.Config[field] = &tfbridge.SchemaInfo{Default: &tfbridge.DefaultInfo{EnvVars: []string{variable}}}
	}
	for module, names := range resourceTokens {
		for upstreamName, name := range names {
			info.Resources[upstreamPrefix+upstreamName] = &tfbridge.ResourceInfo{
				Tok:    tfbridge.MakeResource(packageName, module, name),
				Fields: maps.Clone(renamedFields[upstreamName]),
			}
		}
	}
	for module, names := range functionTokens {
		for upstreamName, name := range names {
			info.DataSources[upstreamPrefix+upstreamName] = &tfbridge.DataSourceInfo{
				Tok: tfbridge.MakeDataSource(packageName, module, name),
			}
		}
	}
	// As the official plugin names what the program does not: the resource's name and a random ending.
	info.SetAutonaming(255, "-")
	return info
}
