package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientapi "k8s.io/client-go/tools/clientcmd/api"
)

// settings are the provider's arguments that are not about reaching the cluster.
type settings struct {
	namespace             string // default "default", or that of the kubeconfig's context
	deleteUnreachable     bool
	skipUpdateUnreachable bool
	enablePatchForce      bool
	enableConfigMapMutate bool
	enableSecretMutate    bool
	upsertExisting        bool
}

// Client limits, as in the official plugin: client-go's own (5, 10) make a wide graph crawl.
const (
	defaultQPS   = 50.0
	defaultBurst = 120
)

// switchOf reads an on/off argument: the provider's own first, then the environment variable.
func switchOf(vars map[string]string, name, env string, otherwise bool) bool {
	if v, ok := vars["kubernetes:config:"+name]; ok && v != "" {
		return v == "true"
	}
	if v, ok := os.LookupEnv(env); ok && v != "" {
		return v == "true"
	}
	return otherwise
}

func readSettings(vars map[string]string) settings {
	return settings{
		namespace:             vars["kubernetes:config:namespace"],
		deleteUnreachable:     switchOf(vars, "deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE", false),
		skipUpdateUnreachable: switchOf(vars, "skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE", false),
		enablePatchForce:      switchOf(vars, "enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE", false),
		enableConfigMapMutate: switchOf(vars, "enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE", false),
		enableSecretMutate:    switchOf(vars, "enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE", false),
		upsertExisting:        switchOf(vars, "upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS", false),
	}
}

// clientLimits reads kubeClientSettings ({"qps":…,"burst":…,"timeout":seconds}) and the variables that default it.
func clientLimits(vars map[string]string, config *rest.Config) error {
	var given struct {
		QPS     *float64 `json:"qps"`
		Burst   *int     `json:"burst"`
		Timeout *int     `json:"timeout"`
	}
	if text := vars["kubernetes:config:kubeClientSettings"]; text != "" {
		if err := json.Unmarshal([]byte(text), &given); err != nil {
			return fmt.Errorf("provider argument kubeClientSettings: %w; expected {qps, burst, timeout} with numbers", err)
		}
	}
	config.QPS, config.Burst = defaultQPS, defaultBurst
	if v := os.Getenv("PULUMI_K8S_CLIENT_QPS"); v != "" {
		qps, err := strconv.ParseFloat(v, 32)
		if err != nil {
			return fmt.Errorf("PULUMI_K8S_CLIENT_QPS=%q: expected requests per second as a number", v)
		}
		config.QPS = float32(qps)
	}
	if v := os.Getenv("PULUMI_K8S_CLIENT_BURST"); v != "" {
		burst, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("PULUMI_K8S_CLIENT_BURST=%q: expected a whole number of requests", v)
		}
		config.Burst = burst
	}
	if v := os.Getenv("PULUMI_K8S_CLIENT_TIMEOUT"); v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("PULUMI_K8S_CLIENT_TIMEOUT=%q: expected a whole number of seconds", v)
		}
		config.Timeout = time.Duration(seconds) * time.Second
	}
	if given.QPS != nil {
		config.QPS = float32(*given.QPS)
	}
	if given.Burst != nil {
		config.Burst = *given.Burst
	}
	if given.Timeout != nil {
		config.Timeout = time.Duration(*given.Timeout) * time.Second
	}
	return nil
}

// parseKubeconfig takes a kubeconfig as the argument allows it: its text (YAML or JSON), or the path of a file.
func parseKubeconfig(text string) (*clientapi.Config, error) {
	path := text
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(path, "~/") {
		path = filepath.Join(home, path[2:])
	}
	if !strings.ContainsAny(path, "\n{") {
		if content, err := os.ReadFile(path); err == nil {
			text = string(content)
		} else if strings.Contains(path, string(filepath.Separator)) {
			return nil, fmt.Errorf("kubeconfig file: %w", err)
		}
	}
	config, err := clientcmd.Load([]byte(text))
	if err != nil {
		// The parser quotes what it could not read, and a kubeconfig holds keys.
		return nil, errors.New("kubeconfig: neither a readable file nor the YAML or JSON text of a kubeconfig")
	}
	if len(config.Clusters) == 0 {
		return nil, errors.New("kubeconfig: names no cluster")
	}
	return config, nil
}

// clientConfig finds out how to reach the cluster, and the namespace its context prefers.
func clientConfig(vars map[string]string) (*rest.Config, string, error) {
	overrides := &clientcmd.ConfigOverrides{
		Context: clientapi.Context{
			Cluster: vars["kubernetes:config:cluster"], Namespace: vars["kubernetes:config:namespace"],
		},
		CurrentContext: vars["kubernetes:config:context"],
	}
	var loader clientcmd.ClientConfig
	if text := vars["kubernetes:config:kubeconfig"]; text != "" {
		parsed, err := parseKubeconfig(text)
		if err != nil {
			return nil, "", err
		}
		loader = clientcmd.NewDefaultClientConfig(*parsed, overrides)
	} else {
		loader = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			clientcmd.NewDefaultClientConfigLoadingRules(), overrides)
	}
	namespace, _, _ := loader.Namespace()
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, namespace, fmt.Errorf("unable to load Kubernetes client configuration from kubeconfig: %w", err)
	}
	if err := clientLimits(vars, config); err != nil {
		return nil, namespace, err
	}
	config.UserAgent = "pulumi-kubernetes/" + version
	config.WarningHandlerWithContext = warnings{deprecations: !switchOf(vars, "suppressDeprecationWarnings",
		"PULUMI_K8S_SUPPRESS_DEPRECATION_WARNINGS", false)}
	return config, namespace, nil
}

// reporterKey is where a request's context holds the voice of the resource it is about.
type reporterKey struct{}

// warnings passes on what the API server warns about: pods a namespace's Pod Security level will refuse, versions of
// kinds that will go. Requests that are not about one resource have nobody to tell.
type warnings struct{ deprecations bool }

func (w warnings) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	report, ok := ctx.Value(reporterKey{}).(*reporter)
	if !ok || code != 299 || text == "" || !w.deprecations && strings.Contains(text, "deprecated") {
		return
	}
	report.say(warning, "%s", text)
}

// CheckConfig refuses arguments this plugin cannot honour, and what strict mode forbids.
func (p *provider) CheckConfig(_ context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	urn := resource.URN(req.GetUrn())
	news, err := readProperties("provider arguments", req.GetNews())
	if err != nil {
		return nil, err
	}
	args := toObject(news).Object
	text := func(key string) string {
		s, _ := args[key].(string)
		return s
	}
	var failures []*pulumirpc.CheckFailure
	refuse := func(property, reason string) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: property, Reason: reason})
	}
	if text("renderYamlToDirectory") != "" {
		refuse("renderYamlToDirectory", "the offline kubernetes plugin cannot render YAML; "+
			"unset renderYamlToDirectory, or install the official plugin "+version)
	}
	if text("enableServerSideApply") == "false" {
		refuse("enableServerSideApply", "the offline kubernetes plugin only knows Server-Side Apply; "+
			"unset enableServerSideApply, or install the official plugin "+version)
	}
	if s := text("kubeClientSettings"); s != "" {
		if err := clientLimits(map[string]string{"kubernetes:config:kubeClientSettings": s}, &rest.Config{}); err != nil {
			refuse("kubeClientSettings", err.Error())
		}
	}
	if strictMode(text("strictMode")) {
		if strings.HasPrefix(urn.Name(), "default") && strings.HasPrefix(string(urn.Type()), "pulumi:providers:") {
			refuse("", "strict mode prohibits default provider")
		}
		for _, key := range []string{"kubeconfig", "context"} {
			if v, ok := args[key]; !ok || v == nil || v == "" {
				refuse(key, fmt.Sprintf("strict mode requires Provider %q argument", key))
			}
		}
	}
	return &pulumirpc.CheckResponse{Inputs: req.GetNews(), Failures: failures}, nil
}

// strictMode is on by the argument, or by the stack's configuration, which the engine passes in PULUMI_CONFIG.
func strictMode(argument string) bool {
	if argument != "" {
		return argument == "true"
	}
	var config map[string]any
	if json.Unmarshal([]byte(os.Getenv("PULUMI_CONFIG")), &config) != nil {
		return false
	}
	return fmt.Sprint(config["strictMode"]) == "true"
}

// DiffConfig decides whether another configuration means another cluster, which replaces every resource in it.
// With clusterIdentifier set, only a change of that does. Without, a change of the active cluster entry of the
// kubeconfig does, and so does a kubeconfig nobody knows yet.
func (p *provider) DiffConfig(_ context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, err := readProperties("old provider arguments", req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := readProperties("new provider arguments", req.GetNews())
	if err != nil {
		return nil, err
	}
	oldArgs, newArgs := toObject(olds).Object, toObject(news).Object
	delete(oldArgs, "version")
	delete(newArgs, "version")

	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	keys := map[string]bool{}
	for k := range oldArgs {
		keys[k] = true
	}
	for k := range newArgs {
		keys[k] = true
	}
	for k := range keys {
		if !reflect.DeepEqual(oldArgs[k], newArgs[k]) {
			response.Diffs = append(response.Diffs, k)
		}
	}
	if len(response.Diffs) == 0 {
		return response, nil
	}
	slices.Sort(response.Diffs)
	response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	response.Replaces = configReplaces(oldArgs, newArgs, response.Diffs)
	return response, nil
}

// configReplaces names the changed arguments that mean another cluster.
func configReplaces(olds, news map[string]any, changed []string) []string {
	const identifier = "clusterIdentifier"
	oldID, hadID := olds[identifier]
	newID, hasID := news[identifier]
	if hasID && newID != nil && newID != "" {
		if hadID && reflect.DeepEqual(oldID, newID) {
			return nil
		}
		if hadID && oldID != nil && oldID != "" {
			return []string{identifier}
		}
		// An identifier given for the first time changes nothing by itself.
	}
	connection := []string{"kubeconfig", "context", "cluster"}
	var unknowns []string
	for _, key := range connection {
		if hasUnknown(news[key]) {
			unknowns = append(unknowns, key)
		}
	}
	if len(unknowns) > 0 {
		return unknowns
	}
	oldCluster, newCluster := activeCluster(olds), activeCluster(news)
	if oldCluster == nil || newCluster == nil || reflect.DeepEqual(oldCluster, newCluster) {
		return nil
	}
	var replaces []string
	for _, key := range connection {
		if slices.Contains(changed, key) {
			replaces = append(replaces, key)
		}
	}
	return replaces
}

// activeCluster gives the entry of the kubeconfig that the arguments select, nil when there is none.
func activeCluster(args map[string]any) *clientapi.Cluster {
	text, _ := args["kubeconfig"].(string)
	if text == "" {
		return nil
	}
	config, err := parseKubeconfig(text)
	if err != nil {
		return nil
	}
	context, _ := args["context"].(string)
	if context == "" {
		context = config.CurrentContext
	}
	name, _ := args["cluster"].(string)
	if name == "" {
		entry, ok := config.Contexts[context]
		if !ok {
			return nil
		}
		name = entry.Cluster
	}
	cluster, ok := config.Clusters[name]
	if !ok {
		return nil
	}
	cluster = cluster.DeepCopy()
	cluster.LocationOfOrigin = ""
	return cluster
}
