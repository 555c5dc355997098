// Command hubstorm takes all subscribers' connections away, publishes meanwhile, and lets all come back in one moment:
// each has to get what it missed, once and in order, and soon.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"time"

	"interop/hub"
)

var (
	address = flag.String("addr", "127.0.0.1:8000", "where the server listens, on auto")
	clients = flag.Int("clients", 10000, "on all three wires")
	missed  = flag.Int("missed", 50, "publications while nobody is there")
	padding = flag.Int("padding", 100, "bytes of a publication, besides its number and time")
	most    = flag.Duration("most", 5*time.Second, "until the last one has everything")
)

const (
	channel = "load:storm"
	// Who dials or enters at the same time: what the kernel queues for a listener.
	atOnce = 4000
)

// each calls a function for every subscriber, many at a time, and gives how long each took from the common beginning.
func each(all []*hub.Subscriber, enter func(n int) error) []time.Duration {
	began, took := time.Now(), make([]time.Duration, len(all))
	var done sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for n := range all {
		room <- struct{}{}
		done.Add(1)
		go func(n int) {
			defer done.Done()
			if err := enter(n); err != nil {
				log.Fatalf("subscriber %d: %v", n, err)
			}
			took[n] = time.Since(began)
			<-room
		}(n)
	}
	done.Wait()
	sort.Slice(took, func(a, b int) bool { return took[a] < took[b] })
	return took
}

func main() {
	flag.Parse()
	publisher, err := hub.NewPublisher(*address, channel, *padding)
	if err != nil {
		log.Fatal(err)
	}
	if err := publisher.Publish(1); err != nil {
		log.Fatal(err)
	}
	all, connections := make([]*hub.Subscriber, *clients), make([]*hub.Conn, *clients)
	enter := func(n int) error {
		conn, err := hub.Dial(hub.Wires[n%len(hub.Wires)], *address)
		if err != nil {
			return err
		}
		connections[n] = conn
		return all[n].Enter(conn)
	}
	for n := range all {
		all[n] = &hub.Subscriber{Channel: channel}
	}
	each(all, enter)
	for _, conn := range connections {
		conn.Close()
	}
	time.Sleep(time.Second)
	if err := publisher.Publish(*missed); err != nil {
		log.Fatal(err)
	}
	took := each(all, func(n int) error {
		if err := enter(n); err != nil {
			return err
		}
		// What did not fit into the answer follows.
		for all[n].Offset < publisher.Published {
			if err := all[n].Step(); err != nil {
				return err
			}
		}
		return nil
	})
	conclude(all, took)
}

func conclude(all []*hub.Subscriber, took []time.Duration) {
	var sum hub.Subscriber
	for _, one := range all {
		sum.Recovered += one.Recovered
		sum.Lost += one.Lost
		sum.Doubled += one.Doubled
		sum.Gaps += one.Gaps
	}
	last := took[len(took)-1]
	fmt.Printf("%d came back at once and had the %d publications they missed after %.2f s (half of them after %.2f): recovered %d, lost %d, doubled %d, gaps %d\n",
		len(all), *missed, last.Seconds(), took[len(took)/2].Seconds(), sum.Recovered, sum.Lost, sum.Doubled, sum.Gaps)
	if last > *most || sum.Lost+sum.Doubled+sum.Gaps > 0 || sum.Recovered != uint64(len(all)) {
		os.Exit(1)
	}
}
