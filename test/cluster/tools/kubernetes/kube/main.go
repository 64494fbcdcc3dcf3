// Command kube is Kubernetes as one program: each of its components, and kubectl, under the name
// that it is called by, or that is its first word. Linking once what the components share takes a
// fifth of the time and of the disk that six programs take.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJobs name time zones, and a node's image has no zone files

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Made only when called: each one registers its flags with the process's own set.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 newKubeletCommand,
}

func main() {
	os.Args[0] = filepath.Base(os.Args[0])
	if os.Args[0] == "kube" && len(os.Args) > 1 {
		os.Args = os.Args[1:]
	}
	if os.Args[0] == "kubectl" {
		runKubectl()
		return
	}
	component, known := components[os.Args[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "kube: no component %q; there are kubectl and", os.Args[0])
		for name := range components {
			fmt.Fprintf(os.Stderr, " %s", name)
		}
		fmt.Fprintln(os.Stderr)
		os.Exit(2)
	}
	os.Exit(cli.Run(component()))
}

func newKubeletCommand() *cobra.Command {
	return kubelet.NewKubeletCommand(context.Background())
}

// kubectl reports its errors in its own words, and reads -v before anything else.
func runKubectl() {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err)
	}
}
