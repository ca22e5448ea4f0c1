package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// packageManifest is what a package.json says about itself and about the plugin behind it.
type packageManifest struct {
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
	Pulumi          struct {
		Resource         bool   `json:"resource"`
		Name             string `json:"name"`
		Version          string `json:"version"`
		Server           string `json:"server"`
		Parameterization *struct {
			Name    string `json:"name"`
			Version string `json:"version"`
			Value   string `json:"value"`
		} `json:"parameterization"`
	} `json:"pulumi"`
}

// GetRequiredPackages lists the provider plugins behind the installed packages, for the engine to find or install.
func (h *host) GetRequiredPackages(
	_ context.Context, request *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	packages, err := requiredPackages(request.GetInfo().GetProgramDirectory())
	if err != nil {
		return nil, err
	}
	return &pulumirpc.GetRequiredPackagesResponse{Packages: packages}, nil
}

// GetRequiredPlugins is the same for engines that do not know GetRequiredPackages.
func (h *host) GetRequiredPlugins(
	_ context.Context, request *pulumirpc.GetRequiredPluginsRequest,
) (*pulumirpc.GetRequiredPluginsResponse, error) {
	packages, err := requiredPackages(request.GetInfo().GetProgramDirectory())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetRequiredPluginsResponse{}
	for _, found := range packages {
		response.Plugins = append(response.Plugins, &pulumirpc.PluginDependency{
			Name: found.Name, Kind: found.Kind, Version: found.Version, Server: found.Server,
		})
	}
	return response, nil
}

// requiredPackages reads the package.json of every package in `node_modules` of the folder and of those above it.
func requiredPackages(folder string) ([]*pulumirpc.PackageDependency, error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", folder, err)
	}
	found := map[string]*pulumirpc.PackageDependency{}
	for at := start; ; at = filepath.Dir(at) {
		if err := collectPackages(filepath.Join(at, "node_modules"), found); err != nil {
			return nil, err
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	var sorted []*pulumirpc.PackageDependency
	for _, dependency := range found {
		sorted = append(sorted, dependency)
	}
	sort.Slice(sorted, func(a, b int) bool {
		return sorted[a].Name+sorted[a].Version < sorted[b].Name+sorted[b].Version
	})
	return sorted, nil
}

func collectPackages(modules string, found map[string]*pulumirpc.PackageDependency) error {
	entries, err := os.ReadDir(modules)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		folder := filepath.Join(modules, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case strings.HasPrefix(entry.Name(), "@"):
			// A scope holds packages just as node_modules does.
			if err := collectPackages(folder, found); err != nil {
				return err
			}
		default:
			if err := collectPackage(folder, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func collectPackage(folder string, found map[string]*pulumirpc.PackageDependency) error {
	manifest, err := readManifest(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotAPackage) {
		return err
	}
	if manifest.Pulumi.Resource {
		dependency, err := dependencyOf(manifest)
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(folder, "package.json"), err)
		}
		found[dependency.Name+"@"+dependency.Version] = dependency
	}
	return collectPackages(filepath.Join(folder, "node_modules"), found)
}

func dependencyOf(manifest packageManifest) (*pulumirpc.PackageDependency, error) {
	dependency := &pulumirpc.PackageDependency{
		Name:    manifest.Pulumi.Name,
		Kind:    "resource",
		Version: manifest.Pulumi.Version,
		Server:  manifest.Pulumi.Server,
	}
	if dependency.Name == "" {
		dependency.Name = strings.TrimPrefix(strings.TrimPrefix(manifest.Name, "@pulumi/"), "@")
	}
	if dependency.Version == "" {
		dependency.Version = manifest.Version
	}
	if dependency.Version != "" && !strings.HasPrefix(dependency.Version, "v") {
		dependency.Version = "v" + dependency.Version
	}
	if parameter := manifest.Pulumi.Parameterization; parameter != nil {
		value, err := base64.StdEncoding.DecodeString(parameter.Value)
		if err != nil {
			return nil, fmt.Errorf("pulumi.parameterization.value is not base64: %w", err)
		}
		dependency.Parameterization = &pulumirpc.PackageParameterization{
			Name: parameter.Name, Version: parameter.Version, Value: value,
		}
	}
	return dependency, nil
}

// errNotAPackage is a package.json that is not an object with text for its name: test data of some packages.
var errNotAPackage = errors.New("not a package")

func readManifest(folder string) (packageManifest, error) {
	path := filepath.Join(folder, "package.json")
	text, err := os.ReadFile(path)
	if err != nil {
		if info, statErr := os.Stat(folder); statErr == nil && !info.IsDir() {
			return packageManifest{}, errNotAPackage
		}
		return packageManifest{}, err
	}
	var manifest packageManifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return packageManifest{}, errNotAPackage
	}
	return manifest, nil
}

// GetProgramDependencies lists what the program's package.json asks for, in the installed versions; with transitive
// ones everything npm noted in its hidden lock file.
func (h *host) GetProgramDependencies(
	_ context.Context, request *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	folder, err := packageFolder(request.GetInfo().GetProgramDirectory())
	if err != nil {
		return nil, err
	}
	manifest, err := readManifest(folder)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(folder, "package.json"), err)
	}
	versions := map[string]string{}
	for _, wanted := range []map[string]string{manifest.Dependencies, manifest.DevDependencies} {
		for name, asked := range wanted {
			versions[name] = asked
			if installed, err := readManifest(filepath.Join(folder, "node_modules", name)); err == nil {
				versions[name] = installed.Version
			}
		}
	}
	if request.GetTransitiveDependencies() {
		addInstalled(folder, versions)
	}
	response := &pulumirpc.GetProgramDependenciesResponse{}
	for name, version := range versions {
		response.Dependencies = append(response.Dependencies, &pulumirpc.DependencyInfo{Name: name, Version: version})
	}
	sort.Slice(response.Dependencies, func(a, b int) bool {
		return response.Dependencies[a].Name < response.Dependencies[b].Name
	})
	return response, nil
}

func addInstalled(folder string, versions map[string]string) {
	text, err := os.ReadFile(filepath.Join(folder, "node_modules", ".package-lock.json"))
	if err != nil {
		return
	}
	var lock struct {
		Packages map[string]struct {
			Version string `json:"version"`
		} `json:"packages"`
	}
	if json.Unmarshal(text, &lock) != nil {
		return
	}
	for path, entry := range lock.Packages {
		name := path[strings.LastIndex(path, "node_modules/")+len("node_modules/"):]
		if _, known := versions[name]; !known && entry.Version != "" {
			versions[name] = entry.Version
		}
	}
}

// packageFolder is the folder of the nearest package.json, here or above.
func packageFolder(folder string) (string, error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", folder, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "package.json")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no package.json in %s or a folder above it", start)
		}
	}
}
