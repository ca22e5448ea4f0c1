package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crypto/tls"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// realCluster is an etcd, a kube-apiserver and, for the cases that need controllers, a kube-controller-manager, on loopback.
// There are no kubelets: the tests write the status of pods themselves.
type realCluster struct {
	kubeconfig string
	server     string
	dynamic    dynamic.Interface
	dir        string
	stops      []func()
}

const (
	adminToken   = "integration-admin"
	limitedToken = "integration-limited" // has only the rights a test gives it
)

// nodeName is the one node, which only exists on paper.
const nodeName = "node-a"

var (
	clusterOnce sync.Once
	theCluster  *realCluster
	clusterErr  error
)

// requireCluster gives the one real cluster of this test run. Without the binaries the test is skipped, or fails where
// GOURMETGRAM_REQUIRE_REAL=1 says they must be there.
func requireCluster(t *testing.T) *realCluster {
	t.Helper()
	var missing []string
	for _, name := range []string{"ETCD", "KUBE_APISERVER", "KUBE_CONTROLLER_MANAGER"} {
		if path := os.Getenv(name); path == "" {
			missing = append(missing, name)
		} else if _, err := os.Stat(path); err != nil {
			missing = append(missing, fmt.Sprintf("%s (%v)", name, err))
		}
	}
	if len(missing) > 0 {
		message := "needs a real API server; set these to the paths of the binaries: " + strings.Join(missing, ", ")
		if os.Getenv("GOURMETGRAM_REQUIRE_REAL") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	clusterOnce.Do(func() { theCluster, clusterErr = startCluster() })
	if clusterErr != nil {
		t.Fatal(clusterErr)
	}
	return theCluster
}

func TestMain(m *testing.M) {
	code := m.Run()
	if theCluster != nil {
		theCluster.stop()
	}
	os.Exit(code)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func startCluster() (*realCluster, error) {
	dir, err := os.MkdirTemp("", "kubernetes-plugin-test-")
	if err != nil {
		return nil, err
	}
	c := &realCluster{dir: dir}
	if err := c.start(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *realCluster) start() error {
	ports, err := freePorts(4)
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	saKey := filepath.Join(c.dir, "sa.key")
	tokens := filepath.Join(c.dir, "tokens.csv")
	c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
	c.server = fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	for path, content := range map[string]string{
		saKey:        string(private),
		tokens:       adminToken + ",admin,admin,system:masters\n" + limitedToken + ",limited,limited\n",
		c.kubeconfig: kubeconfigFor(c.server, adminToken),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	etcd := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[2])
	if err := c.launch(os.Getenv("ETCD"), "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--log-level", "error"); err != nil {
		return err
	}
	if err := c.launch(os.Getenv("KUBE_APISERVER"), "--etcd-servers", etcd, "--bind-address", "127.0.0.1",
		"--secure-port", fmt.Sprint(ports[1]), "--cert-dir", filepath.Join(c.dir, "certs"),
		"--token-auth-file", tokens, "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", saKey,
		"--service-account-signing-key-file", saKey, "--allow-privileged=true", "--v", "0"); err != nil {
		return err
	}
	config := &rest.Config{
		Host: c.server, BearerToken: adminToken, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 500, Burst: 500,
	}
	if c.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	if err := c.ready(); err != nil {
		return err
	}
	node := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": nodeName},
	}}
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	if _, err := c.dynamic.Resource(nodes).Create(context.Background(), node, metav1.CreateOptions{}); err != nil {
		return err
	}
	return c.launch(os.Getenv("KUBE_CONTROLLER_MANAGER"), "--kubeconfig", c.kubeconfig,
		"--secure-port", fmt.Sprint(ports[3]), "--bind-address", "127.0.0.1", "--cert-dir", filepath.Join(c.dir, "kcm-certs"),
		"--leader-elect=false", "--service-account-private-key-file", saKey, "--use-service-account-credentials=false",
		"--authorization-always-allow-paths=/healthz", "--v", "0")
}

// kubeconfigFor writes a kubeconfig for a token. TLS is not verified: the server makes its own certificate at start.
func kubeconfigFor(server, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
`, server, token)
}

func (c *realCluster) launch(binary string, args ...string) error {
	log, err := os.Create(filepath.Join(c.dir, filepath.Base(binary)+".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		log.Close()
		return err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		log.Close()
		close(done)
	}()
	c.stops = append(c.stops, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(2 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	})
	return nil
}

func (c *realCluster) ready() error {
	client := &http.Client{
		Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		request, _ := http.NewRequest(http.MethodGet, c.server+"/readyz", nil)
		request.Header.Set("Authorization", "Bearer "+adminToken)
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	tail, _ := os.ReadFile(filepath.Join(c.dir, filepath.Base(os.Getenv("KUBE_APISERVER"))+".log"))
	return fmt.Errorf("the API server did not become ready in 90 s:\n%s", tail)
}

func (c *realCluster) stop() {
	for i := len(c.stops) - 1; i >= 0; i-- {
		c.stops[i]()
	}
	_ = os.RemoveAll(c.dir)
}
