package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
)

const instanceType = "openstack:compute/instance:Instance"

type properties = map[string]any

func toStruct(t *testing.T, values properties) *structpb.Struct {
	t.Helper()
	made, err := structpb.NewStruct(values)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func urn(kind string) string {
	return "urn:pulumi:stack::project::" + kind + "::thing"
}

// configured is a plugin whose cloud is at an address.
func configured(t *testing.T, authURL string, more properties) pulumirpc.ResourceProviderServer {
	t.Helper()
	for _, variable := range configVariables {
		t.Setenv(variable, "")
	}
	config := properties{
		"authUrl": authURL, "userName": "u", "password": "p", "tenantName": "t", "userDomainName": "d", "projectDomainName": "d",
	}
	for name, value := range more {
		config[name] = value
	}
	plugin := newServer(nil)
	_, err := plugin.Configure(context.Background(), &pulumirpc.ConfigureRequest{
		Args: toStruct(t, config), AcceptSecrets: true, AcceptResources: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

func check(t *testing.T, plugin pulumirpc.ResourceProviderServer, kind string, news properties) *structpb.Struct {
	t.Helper()
	checked, err := plugin.Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: urn(kind), News: toStruct(t, news), RandomSeed: []byte("0123456789abcdef0123456789abcdef"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if failures := checked.GetFailures(); len(failures) > 0 {
		t.Fatalf("refused: %v", failures)
	}
	return checked.GetInputs()
}

func TestGetSchemaIsThePackage(t *testing.T) {
	answer, err := newServer(nil).GetSchema(context.Background(), &pulumirpc.GetSchemaRequest{})
	if err != nil || !strings.HasPrefix(answer.GetSchema(), `{"name":"openstack","version":"3.15.2"`) {
		t.Errorf("got %.60q, %v", answer.GetSchema(), err)
	}
	if _, err := newServer(nil).GetSchema(context.Background(), &pulumirpc.GetSchemaRequest{Version: 9}); err == nil {
		t.Error("a schema of a version that there is none of must be refused")
	}
}

// A machine's ports and addresses can only be used again when the old machine is gone.
func TestReplacingAnInstanceDeletesItFirstWhenItsNameIsGiven(t *testing.T) {
	plugin := configured(t, "http://127.0.0.1:1/v3", nil)
	machine := func(key string, name any) properties {
		inputs := properties{
			"flavorId": "f", "imageId": "i", "keyPair": key, "networks": []any{properties{"port": "p"}},
		}
		if name != nil {
			inputs["name"] = name
		}
		return inputs
	}
	for given, wantDeleteFirst := range map[any]bool{"node1": true, nil: false} {
		olds := check(t, plugin, instanceType, machine("old", given))
		state := toStruct(t, olds.AsMap())
		for name, value := range (properties{"id": "i", "region": "r", "powerState": "active", "flavorName": "n"}) {
			state.Fields[name], _ = structpb.NewValue(value)
		}
		checked, err := plugin.Check(context.Background(), &pulumirpc.CheckRequest{
			Urn: urn(instanceType), Olds: olds, News: toStruct(t, machine("new", given)),
		})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := plugin.Diff(context.Background(), &pulumirpc.DiffRequest{
			Id: "i", Urn: urn(instanceType), Olds: state, OldInputs: olds, News: checked.GetInputs(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(answer.GetReplaces(), "keyPair") {
			t.Errorf("another key must replace the machine, got %v", answer.GetReplaces())
		}
		if answer.GetDeleteBeforeReplace() != wantDeleteFirst {
			t.Errorf("name %v: deleteBeforeReplace is %v", given, answer.GetDeleteBeforeReplace())
		}
	}
}

func TestANameNobodyGaveIsTheResourcesWithARandomEnding(t *testing.T) {
	plugin := configured(t, "http://127.0.0.1:1/v3", nil)
	for kind, inputs := range map[string]properties{
		"openstack:networking/network:Network":             {},
		"openstack:networking/secGroup:SecGroup":           {},
		"openstack:compute/serverGroup:ServerGroup":        {"policies": []any{"anti-affinity"}},
		"openstack:blockstorage/volume:Volume":             {"size": 1},
		"openstack:networking/port:Port":                   {"networkId": "n"},
		"openstack:networking/router:Router":               {},
		"openstack:compute/keypair:Keypair":                {},
		"openstack:networking/subnet:Subnet":               {"networkId": "n", "cidr": "10.0.0.0/24"},
		"openstack:compute/instance:Instance":              {"flavorId": "f", "imageId": "i"},
		"openstack:networking/subnetPool:SubnetPool":       {"prefixes": []any{"10.0.0.0/8"}},
		"openstack:loadbalancer/loadBalancer:LoadBalancer": {"vipSubnetId": "s"},
	} {
		name := check(t, plugin, kind, inputs).AsMap()["name"]
		if text, _ := name.(string); !strings.HasPrefix(text, "thing-") {
			t.Errorf("%s is called %v", kind, name)
		}
	}
}

func TestPasswordsFromTheEnvironmentStayOutOfTheState(t *testing.T) {
	t.Setenv("OS_PASSWORD", "leaked")
	answer, err := newServer(nil).CheckConfig(context.Background(), &pulumirpc.CheckRequest{
		Urn: "urn:pulumi:stack::project::pulumi:providers:openstack::cloud", News: toStruct(t, properties{"cloud": "mine"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := answer.GetInputs().String(); strings.Contains(text, "leaked") {
		t.Errorf("the provider's inputs are %s", text)
	}
}

func lookUp(t *testing.T, plugin pulumirpc.ResourceProviderServer) (error, time.Duration) {
	t.Helper()
	start := time.Now()
	_, err := plugin.Invoke(context.Background(), &pulumirpc.InvokeRequest{
		Tok: "openstack:networking/getNetwork:getNetwork", Args: toStruct(t, properties{"name": "public"}),
	})
	return err, time.Since(start)
}

func TestACloudThatRefusesConnectionsIsAnErrorAtOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	failed, took := lookUp(t, configured(t, fmt.Sprintf("http://%s/v3", address), properties{"maxRetries": 2}))
	if failed == nil || !strings.Contains(failed.Error(), "connection refused") || took > 2*time.Second {
		t.Errorf("after %v: %v", took, failed)
	}
}

func TestASilentCloudIsAnErrorInTime(t *testing.T) {
	restore := connectTimeout
	connectTimeout = 200 * time.Millisecond
	defer func() { connectTimeout = restore }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	failed, took := lookUp(t, configured(t, fmt.Sprintf("https://%s/v3", listener.Addr()), properties{"maxRetries": 1}))
	if failed == nil || !strings.Contains(failed.Error(), "handshake timeout") || took > 2*time.Second {
		t.Errorf("after %v: %v", took, failed)
	}
}
