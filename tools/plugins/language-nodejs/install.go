package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// InstallDependencies runs the package manager's install in the program's folder.
func (h *host) InstallDependencies(
	request *pulumirpc.InstallDependenciesRequest,
	stream grpc.ServerStreamingServer[pulumirpc.InstallDependenciesResponse],
) error {
	settings, err := parseOptions(request.GetInfo().GetOptions())
	if err != nil {
		return err
	}
	folder, err := packageFolder(request.GetInfo().GetProgramDirectory())
	if err != nil {
		return err
	}
	manager := settings.packageManager
	if manager == "" {
		manager = managerOf(folder)
	}
	arguments := []string{"install"}
	if manager == "npm" {
		arguments = append(arguments, "--loglevel=error", "--no-fund", "--no-audit")
	}
	path, err := exec.LookPath(manager)
	if err != nil {
		return fmt.Errorf("%s, the package manager of %s, is not on PATH: %w", manager, folder, err)
	}
	command := exec.CommandContext(stream.Context(), path, arguments...)
	command.Dir = folder
	output := &sender{send: func(chunk []byte) error {
		return stream.Send(&pulumirpc.InstallDependenciesResponse{Stdout: chunk})
	}}
	command.Stdout, command.Stderr = output, output
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s install in %s: %w", manager, folder, err)
	}
	return nil
}

// managerOf is the package manager whose lock file lies in the folder; npm when there is none.
func managerOf(folder string) string {
	locks := []struct{ file, manager string }{
		{"package-lock.json", "npm"}, {"yarn.lock", "yarn"}, {"pnpm-lock.yaml", "pnpm"}, {"bun.lock", "bun"},
	}
	for _, lock := range locks {
		if _, err := os.Stat(filepath.Join(folder, lock.file)); err == nil {
			return lock.manager
		}
	}
	return "npm"
}

// RunPlugin runs a plugin written for Node.js, such as a component provider, until it ends or the call is given up.
func (h *host) RunPlugin(
	request *pulumirpc.RunPluginRequest, stream grpc.ServerStreamingServer[pulumirpc.RunPluginResponse],
) error {
	info := request.GetInfo()
	settings, err := parseOptions(info.GetOptions())
	if err != nil {
		return err
	}
	runner, err := findSdkFile(info.GetProgramDirectory(), filepath.Join("cmd", "run-plugin", "index.js"))
	if err != nil {
		return err
	}
	arguments := append(append([]string{}, settings.nodeArguments...), runner, info.GetProgramDirectory())
	output := newStreamLock(stream)
	code, err := h.runNode(stream.Context(), nodeRun{
		arguments:   append(arguments, request.GetArgs()...),
		environment: append(request.GetEnv(), "PULUMI_NODEJS_TYPESCRIPT=false"),
		folder:      request.GetPwd(),
		stdout: &sender{send: func(chunk []byte) error {
			return output.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stdout{Stdout: chunk}})
		}},
		stderr: &sender{send: func(chunk []byte) error {
			return output.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stderr{Stderr: chunk}})
		}},
	})
	if err != nil {
		if stream.Context().Err() != nil || h.life.Err() != nil {
			return nil
		}
		return err
	}
	return output.send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(code)}})
}
