package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The engine reads one line, a port, and speaks gRPC there; an interrupt ends the plugin.
func TestTheBinarySpeaksTheProtocol(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the plugin; left out by -short")
	}
	binary := filepath.Join(t.TempDir(), "pulumi-resource-kubernetes")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(binary, "--version").Output(); err != nil || strings.TrimSpace(string(out)) != version {
		t.Errorf("--version: %q %v", out, err)
	}
	cmd := exec.Command(binary)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("no port")
	}
	conn, err := grpc.NewClient("127.0.0.1:"+lines.Text(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := pulumirpc.NewResourceProviderClient(conn).GetPluginInfo(t.Context(), &emptypb.Empty{})
	if err != nil || got.Version != version {
		t.Errorf("%v %v", got, err)
	}
	ended := make(chan error, 1)
	_ = cmd.Process.Signal(os.Interrupt)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("an interrupt does not end it")
	}
}
