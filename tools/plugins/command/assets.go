package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
)

// addFiles adds the files that `assetPaths` and `archivePaths` name to the outputs.
func addFiles(outputs resource.PropertyMap, folder string, in values) error {
	if in.has("assetPaths") {
		found, err := findFiles(folder, in.texts("assetPaths"))
		if err != nil {
			return fmt.Errorf("assetPaths: %w", err)
		}
		assets := resource.PropertyMap{}
		for path, file := range found {
			assets[resource.PropertyKey(path)] = resource.NewProperty(file)
		}
		outputs["assets"] = resource.NewProperty(assets)
	}
	if in.has("archivePaths") {
		found, err := findFiles(folder, in.texts("archivePaths"))
		if err != nil {
			return fmt.Errorf("archivePaths: %w", err)
		}
		members := map[string]any{}
		for path, file := range found {
			members[path] = file
		}
		packed, err := archive.FromAssets(members)
		if err != nil {
			return fmt.Errorf("archivePaths: %w", err)
		}
		outputs["archive"] = resource.NewProperty(packed)
	}
	return nil
}

// findFiles are the files below the folder that the patterns select, in the patterns' order; one behind `!` takes
// files out again. `*` stays within a folder, `**` does not.
func findFiles(folder string, patterns []string) (map[string]*asset.Asset, error) {
	type rule struct {
		pattern glob.Glob
		exclude bool
	}
	rules := make([]rule, len(patterns))
	for index, text := range patterns {
		pattern, err := glob.Compile(strings.TrimPrefix(text, "!"), '/')
		if err != nil {
			return nil, fmt.Errorf("%q is not a pattern: %w", text, err)
		}
		rules[index] = rule{pattern, strings.HasPrefix(text, "!")}
	}
	found := map[string]*asset.Asset{}
	if folder == "" {
		folder = "."
	}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		selected := false
		for _, rule := range rules {
			if rule.pattern.Match(path) {
				selected = !rule.exclude
			}
		}
		if selected {
			file, err := asset.FromPath(filepath.Join(folder, path))
			if err != nil {
				return err
			}
			found[path] = file
		}
		return nil
	})
	return found, err
}
