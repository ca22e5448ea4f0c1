package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud"
	"github.com/gophercloud/utils/client"
	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-provider-openstack/terraform-provider-openstack/openstack"
)

// connectTimeout is how long a service of the cloud may take to accept a connection, and again to agree on encryption.
// The upstream provider sets no limit, so a cloud behind a closed firewall costs two minutes for each try of each call.
var connectTimeout = 15 * time.Second

// idleConnections is how many connections to a service are kept for the next call. Two are by default; the engine makes
// more resources than that at a time, and each new connection costs an exchange of keys.
const idleConnections = 16

// limitConnecting makes the provider give up on services that do not answer at all. How long an answer takes is not limited.
func limitConnecting(provider *schema.Provider) {
	configure := provider.ConfigureContextFunc
	provider.ConfigureContextFunc = func(
		ctx context.Context, data *schema.ResourceData,
	) (any, diag.Diagnostics) {
		configured, problems := configure(ctx, data)
		if config, ok := configured.(*openstack.Config); ok {
			if transport := transportOf(config.OsClient); transport != nil {
				transport.DialContext = (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext
				transport.TLSHandshakeTimeout = connectTimeout
				transport.MaxIdleConnsPerHost = idleConnections
			}
		}
		return configured, problems
	}
}

// transportOf finds what the provider's client connects with; nil when the upstream provider builds it in another way.
func transportOf(cloud *gophercloud.ProviderClient) *http.Transport {
	retrying, ok := cloud.HTTPClient.Transport.(*client.RoundTripper)
	if !ok {
		return nil
	}
	transport, _ := retrying.Rt.(*http.Transport)
	return transport
}
