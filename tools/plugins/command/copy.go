package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// copyToRemote is command:remote:CopyToRemote.
type copyToRemote struct{}

func (copyToRemote) fields() []field {
	return []field{
		connectionField,
		{name: "source", shape: sourceShape, required: true},
		{name: "remotePath", shape: textShape, required: true},
		{name: "triggers", shape: listShape},
	}
}

func (copyToRemote) check(inputs resource.PropertyMap) []problem {
	problems := checkConnection(inputs)
	source := plain(inputs["source"])
	switch {
	case source.IsAsset() && !source.AssetValue().IsPath() && !source.AssetValue().IsText():
		problems = append(problems, problem{"source", "is a remote asset; it must be a FileAsset, a StringAsset or a FileArchive"})
	case source.IsArchive() && !source.ArchiveValue().IsPath():
		problems = append(problems, problem{"source", "is an archive made of parts or a remote one; it must be a FileArchive"})
	}
	return problems
}

func (copyToRemote) computed(resource.PropertyMap) []resource.PropertyKey { return nil }

func (c copyToRemote) create(ctx context.Context, log *logger, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	return nil, c.copy(ctx, log, inputs)
}

// update copies only when there is something else to copy, or another place: a new key or address of the same machine
// is no reason.
func (c copyToRemote) update(
	ctx context.Context, log *logger, state, inputs resource.PropertyMap,
) (resource.PropertyMap, error) {
	same := sourceHash(state) == sourceHash(inputs) &&
		values(state).text("remotePath") == values(inputs).text("remotePath")
	if same {
		return nil, nil
	}
	return nil, c.copy(ctx, log, inputs)
}

// delete leaves the files where they are, as upstream does.
func (copyToRemote) delete(context.Context, *logger, resource.PropertyMap) error { return nil }

func sourceHash(properties resource.PropertyMap) string {
	source := plain(properties["source"])
	if source.IsArchive() {
		return source.ArchiveValue().Hash
	}
	if source.IsAsset() {
		return source.AssetValue().Hash
	}
	return ""
}

func (copyToRemote) copy(ctx context.Context, log *logger, inputs resource.PropertyMap) error {
	in, _ := values(inputs).object("connection")
	client, err := dial(ctx, log, in)
	if err != nil {
		return err
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { _ = client.Client.Close() })
	defer stop()
	remote, err := sftp.NewClient(client.Client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("start sftp: %w", err)
	}
	defer func() { _ = remote.Close() }()

	destination := values(inputs).text("remotePath")
	source := plain(inputs["source"])
	if source.IsAsset() && source.AssetValue().IsText() {
		if found, err := statRemote(remote, destination); err != nil {
			return err
		} else if found != nil && found.IsDir() {
			return fmt.Errorf("remotePath %s is a directory; a StringAsset has no name of its own, so give the path of the file", destination)
		}
		return writeRemote(remote, strings.NewReader(source.AssetValue().Text), destination)
	}
	local := ""
	if source.IsArchive() {
		local = source.ArchiveValue().Path
	} else {
		local = source.AssetValue().Path
	}
	return copyPath(remote, local, destination)
}

// copyPath copies a file or a folder:
//
//	source | destination is a folder       | nothing there     | destination is a file
//	dir    | destination/dir               | destination/dir   | error
//	dir/   | destination/x for all x in it | the same          | error
//	file   | destination/file              | destination       | destination, overwritten
func copyPath(remote *sftp.Client, local, destination string) error {
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	found, err := statRemote(remote, destination)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if found != nil && found.IsDir() {
			destination = path.Join(destination, filepath.Base(local))
		}
		return copyFile(remote, local, destination)
	}
	if found != nil && !found.IsDir() {
		return fmt.Errorf("remote path %s exists but is not a directory", destination)
	}
	if !strings.HasSuffix(local, "/") {
		destination = path.Join(destination, filepath.Base(local))
	}
	return fs.WalkDir(os.DirFS(local), ".", func(member string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := path.Join(destination, member)
		if entry.Type()&fs.ModeSymlink != 0 {
			// A link is what it points to; a link to a folder would not be walked.
			pointed, err := os.Stat(filepath.Join(local, member))
			if err != nil {
				return err
			}
			if pointed.IsDir() {
				return copyPath(remote, filepath.Join(local, member)+"/", target)
			}
		}
		if !entry.IsDir() {
			return copyFile(remote, filepath.Join(local, member), target)
		}
		there, err := statRemote(remote, target)
		if err != nil {
			return err
		}
		if there != nil && !there.IsDir() {
			return fmt.Errorf("remote path %s exists but is not a directory", target)
		}
		if there == nil {
			return makeFolder(remote, target)
		}
		return nil
	})
}

func copyFile(remote *sftp.Client, local, destination string) error {
	file, err := os.Open(local)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return writeRemote(remote, file, destination)
}

func writeRemote(remote *sftp.Client, content io.Reader, destination string) (err error) {
	if err := makeFolder(remote, path.Dir(destination)); err != nil {
		return err
	}
	file, err := remote.Create(destination)
	if err != nil {
		return fmt.Errorf("failed to create remote file %s: %w", destination, err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("failed to write remote file %s: %w", destination, closeErr)
		}
	}()
	if _, err := file.ReadFrom(content); err != nil {
		return fmt.Errorf("failed to copy to remote path %s: %w", destination, err)
	}
	return nil
}

func makeFolder(remote *sftp.Client, folder string) error {
	if err := remote.MkdirAll(folder); err != nil {
		return fmt.Errorf("failed to create remote directory %s: %w", folder, err)
	}
	return nil
}

// statRemote is nil where nothing is.
func statRemote(remote *sftp.Client, name string) (fs.FileInfo, error) {
	info, err := remote.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("failed to stat remote path %s: %w", name, err)
	}
	return info, nil
}
