// Flannel as a peer of tests and benchmarks: its Kubernetes subnet manager and its VXLAN backend,
// wired as flanneld wires them. flanneld's own main package also links a cloud provider's kit that
// a module mirror need not carry; that and the masquerade rules are all that is missing here.
//
//	flanneld -kube-api-url http://10.0.0.1:8080 -net-config-path net-conf.json -iface eth0 \
//	  -subnet-file subnet.env        (the node's name comes from NODE_NAME)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
)

var (
	apiURL        = flag.String("kube-api-url", "", "URL of the Kubernetes API")
	netConfigPath = flag.String("net-config-path", "net-conf.json", "Flannel's network configuration")
	ifaceName     = flag.String("iface", "eth0", "link towards the other nodes")
	subnetFile    = flag.String("subnet-file", "subnet.env", "written when the network stands")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "flanneld:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	const prefix = "flannel.alpha.coreos.com"
	subnets, err := kube.NewSubnetManager(ctx, *apiURL, "", prefix, *netConfigPath, false)
	if err != nil {
		return fmt.Errorf("subnet manager: %w", err)
	}
	config, err := subnets.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", *netConfigPath, err)
	}
	stack, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	uplink, err := ipmatch.LookupExtIface(*ifaceName, "", "", stack, ipmatch.PublicIPOpts{})
	if err != nil {
		return fmt.Errorf("link %s: %w", *ifaceName, err)
	}
	vxlan, err := backend.NewManager(ctx, subnets, uplink).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	network, err := vxlan.RegisterNetwork(ctx, &running, config)
	if err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	lease := network.Lease()
	v4, v6 := lease.Subnet, lease.IPv6Subnet
	err = subnets.HandleSubnetFile(*subnetFile, config, true, v4, v6, network.MTU())
	if err != nil {
		return fmt.Errorf("write %s: %w", *subnetFile, err)
	}
	network.Run(ctx)
	running.Wait()
	if ctx.Err() == nil {
		return errors.New("the network ended by itself")
	}
	return nil
}
