// Command libcni-driver makes CNI calls through upstream's own library, as a runtime does.
//
// It reads one job as JSON on stdin and prints a JSON array with one answer for each call,
// in the order of the calls. It runs the plugins in the network namespace it was started in.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
)

type job struct {
	PluginDirs []string        `json:"pluginDirs"`
	CacheDir   string          `json:"cacheDir"`
	Conflist   json.RawMessage `json:"conflist"`
	// Order is "sequence" (each call waits for the one before) or "together".
	Order string `json:"order"`
	Calls []call `json:"calls"`
}

type call struct {
	Do           string         `json:"do"`
	Container    string         `json:"container"`
	Netns        string         `json:"netns"`
	Ifname       string         `json:"ifname"`
	Args         [][2]string    `json:"args"`
	Capabilities map[string]any `json:"capabilities"`
	// Valid is nil when the caller gives no list at all: libcni then sends GC without the key.
	Valid *[]types.GCAttachment `json:"valid"`
	// Plugin is the plugin asked by "version".
	Plugin string `json:"plugin"`
}

type answer struct {
	Do     string `json:"do"`
	Error  *fault `json:"error,omitempty"`
	Answer any    `json:"answer,omitempty"`
}

// fault keeps the plugin's own code where libcni hands one on.
type fault struct {
	Text    string `json:"text"`
	Code    uint   `json:"code"`
	Details string `json:"details,omitempty"`
}

// deadline bounds one job: a plugin that hangs is killed and its call answers with an error.
const deadline = 60 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "libcni-driver:", err)
		os.Exit(1)
	}
}

func run() error {
	var asked job
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return fmt.Errorf("cannot read the job: %w", err)
	}
	list, err := libcni.NetworkConfFromBytes(asked.Conflist)
	if err != nil {
		return fmt.Errorf("cannot read the conflist: %w", err)
	}
	plugins := &invoke.DefaultExec{RawExec: &invoke.RawExec{Stderr: os.Stderr}}
	network := libcni.NewCNIConfigWithCacheDir(asked.PluginDirs, asked.CacheDir, plugins)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()

	answers := make([]answer, len(asked.Calls))
	var running sync.WaitGroup
	for i, next := range asked.Calls {
		running.Add(1)
		go func() {
			defer running.Done()
			answers[i] = perform(ctx, network, list, next)
		}()
		if asked.Order != "together" {
			running.Wait()
		}
	}
	running.Wait()
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func perform(
	ctx context.Context, network libcni.CNI, list *libcni.NetworkConfigList, asked call,
) answer {
	got, err := answerOf(ctx, network, list, asked)
	if err != nil {
		return answer{Do: asked.Do, Error: explain(err)}
	}
	return answer{Do: asked.Do, Answer: got}
}

func answerOf(
	ctx context.Context, network libcni.CNI, list *libcni.NetworkConfigList, asked call,
) (any, error) {
	runtime := &libcni.RuntimeConf{
		ContainerID:    asked.Container,
		NetNS:          asked.Netns,
		IfName:         asked.Ifname,
		Args:           asked.Args,
		CapabilityArgs: asked.Capabilities,
	}
	switch asked.Do {
	case "add":
		return network.AddNetworkList(ctx, list, runtime)
	case "check":
		return nil, network.CheckNetworkList(ctx, list, runtime)
	case "del":
		return nil, network.DelNetworkList(ctx, list, runtime)
	case "gc":
		if asked.Valid == nil {
			return nil, network.GCNetworkList(ctx, list, nil)
		}
		return nil, network.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: *asked.Valid})
	case "status":
		return nil, network.GetStatusNetworkList(ctx, list)
	case "validate":
		return network.ValidateNetworkList(ctx, list)
	case "version":
		info, err := network.GetVersionInfo(ctx, asked.Plugin)
		if err != nil {
			return nil, err
		}
		return info.SupportedVersions(), nil
	case "cached-result":
		return network.GetNetworkListCachedResult(list, runtime)
	case "cached-attachments":
		return network.GetCachedAttachments(asked.Container)
	}
	return nil, fmt.Errorf("no call is named %q", asked.Do)
}

func explain(err error) *fault {
	said := &fault{Text: err.Error()}
	var own *types.Error
	if errors.As(err, &own) {
		said.Code, said.Details = own.Code, own.Details
	}
	return said
}
