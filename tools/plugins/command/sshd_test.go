package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// server is a real sshd on loopback, with its own keys, run by the current user.
type server struct {
	t         *testing.T
	folder    string
	port      int
	hostKey   string
	clientKey string
	user      string
	process   *exec.Cmd
}

// requireSshd gives the path of an sshd: $SSHD, else the system's. Without one it skips, or fails where real parts are a
// must.
func requireSshd(t *testing.T) string {
	t.Helper()
	for _, path := range []string{os.Getenv("SSHD"), "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if _, err := os.Stat(path); path != "" && err == nil {
			return path
		}
	}
	message := "no sshd on this machine: install openssh-server, or set SSHD to the path of one"
	if os.Getenv("GOURMETGRAM_REQUIRE_REAL") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// sshdCommand runs sshd in the foreground, so that it is our child and ends with the test. An sshd that is not
// installed, only unpacked, finds its libraries in $SSHD_LIBRARY_PATH; run by root it needs a user of its own, which it
// then gets in a mount namespace.
func sshdCommand(t *testing.T, folder string) *exec.Cmd {
	t.Helper()
	arguments := []string{requireSshd(t), "-D", "-e", "-f", filepath.Join(folder, "config")}
	if _, err := user.Lookup("sshd"); err != nil && os.Getuid() == 0 {
		users, err := os.ReadFile("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		passwd := filepath.Join(folder, "passwd")
		line := "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
		if err := os.WriteFile(passwd, append(users, line...), 0o644); err != nil {
			t.Fatal(err)
		}
		arguments = append([]string{
			"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/passwd && exec "$@"`, passwd,
		}, arguments...)
	}
	command := exec.Command(arguments[0], arguments[1:]...)
	if libraries := os.Getenv("SSHD_LIBRARY_PATH"); libraries != "" {
		command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
	}
	return command
}

// newServer prepares a server without starting it.
func newServer(t *testing.T, settings ...string) *server {
	t.Helper()
	requireSshd(t)
	folder := t.TempDir()
	current, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hostPrivate, hostPublic := newKey(t)
	clientPrivate, clientPublic := newKey(t)
	made := &server{
		t: t, folder: folder, port: freePort(t), hostKey: hostPublic, clientKey: clientPrivate, user: current.Username,
	}
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	lines := append([]string{
		"Port " + strconv.Itoa(made.port),
		"ListenAddress 127.0.0.1",
		"HostKey " + write("host", hostPrivate),
		"AuthorizedKeysFile " + write("authorized", clientPublic+"\n"),
		"PidFile none",
		"StrictModes no",
		"UsePAM no",
		"PermitRootLogin yes",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"Subsystem sftp internal-sftp",
		"AcceptEnv ACCEPTED PULUMI_COMMAND_STDOUT PULUMI_COMMAND_STDERR",
		"MaxStartups 100",
	}, settings...)
	write("config", strings.Join(lines, "\n")+"\n")
	return made
}

// startServer prepares a server and waits until it listens.
func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	made := newServer(t, settings...)
	made.start()
	return made
}

func (s *server) start() {
	s.t.Helper()
	// sshd wants this folder to be there when it runs as root.
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	s.process = sshdCommand(s.t, s.folder)
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	process := s.process
	s.t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		_ = log.Close()
		if s.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			s.t.Logf("log of sshd on port %d:\n%s", s.port, text)
		}
	})
	for range 100 {
		if connection, err := net.Dial("tcp", s.address()); err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("sshd does not listen on %s", s.address())
}

func (s *server) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// connection is the input that reaches this server, changed as told; a nil value removes a field.
func (s *server) connection(changes map[string]any) map[string]any {
	made := map[string]any{
		"host": "127.0.0.1", "port": s.port, "user": s.user, "privateKey": s.clientKey, "hostKey": s.hostKey,
	}
	for name, value := range changes {
		if value == nil {
			delete(made, name)
		} else {
			made[name] = value
		}
	}
	return made
}

func newKey(t *testing.T) (private, public string) {
	t.Helper()
	publicKey, privateKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(privateKey, "test")
	if err != nil {
		t.Fatal(err)
	}
	converted, err := ssh.NewPublicKey(publicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(converted)))
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// properties turns plain Go values into inputs; secretText marks a text as secret.
func properties(plain map[string]any) resource.PropertyMap {
	made := resource.PropertyMap{}
	for key, value := range plain {
		made[resource.PropertyKey(key)] = property(value)
	}
	return made
}

type secretText string

func property(value any) resource.PropertyValue {
	switch typed := value.(type) {
	case secretText:
		return resource.MakeSecret(resource.NewProperty(string(typed)))
	case int:
		return resource.NewProperty(float64(typed))
	case map[string]any:
		return resource.NewProperty(properties(typed))
	case []any:
		items := make([]resource.PropertyValue, len(typed))
		for index, item := range typed {
			items[index] = property(item)
		}
		return resource.NewProperty(items)
	case resource.PropertyValue:
		return typed
	case string, bool, float64:
		return resource.NewPropertyValue(typed)
	}
	panic(fmt.Sprintf("no property for %T", value))
}
