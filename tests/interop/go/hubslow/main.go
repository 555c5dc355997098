// Command hubslow lets one of many subscribers stop reading for a while: the others hear of everything as if nothing
// were, and the one that stopped has the whole sequence in the end, or is told what it misses.
//
// It says "ready", "stopped", "caught up" at these moments, and waits for a line on its standard input after each.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"interop/hub"
)

var (
	address     = flag.String("addr", "127.0.0.1:8000", "where the server listens, on auto")
	subscribers = flag.Int("subscribers", 1000, "on all three wires")
	rate        = flag.Int("rate", 1000, "publications a second")
	batch       = flag.Int("batch", 20, "publications at a time")
	padding     = flag.Int("padding", 1000, "bytes of a publication, besides its number and time")
	stop        = flag.Duration("stop", 20*time.Second, "how long one reads nothing; meanwhile everybody is published to")
	nobody      = flag.Bool("nobody-stops", false, "the same without anybody who stops")
	gap         = flag.Bool("gap", false, "the history is too short for it: a told gap is right")
)

const (
	channel       = "load:slow"
	receiveBuffer = 4096
	warmUp        = 500 * time.Millisecond
	catchUp       = 60 * time.Second
)

var (
	last  atomic.Uint64
	input = bufio.NewReader(os.Stdin)
)

func say(what string) {
	fmt.Println(what)
	if _, err := input.ReadString('\n'); err != nil {
		os.Exit(1)
	}
}

// watcher follows the channel and notes how old each publication is when it comes.
type watcher struct {
	hub.Subscriber
	conn *hub.Conn
	ages []uint32 // microseconds
}

func enter(n, receiveBuffer int) *watcher {
	conn, err := hub.DialNarrow(hub.Wires[n%len(hub.Wires)], *address, receiveBuffer)
	if err != nil {
		log.Fatal(err)
	}
	w := &watcher{Subscriber: hub.Subscriber{Channel: channel}, conn: conn}
	w.On = func(_, at uint64) {
		w.ages = append(w.ages, uint32((uint64(time.Now().UnixNano())-at)/1000))
	}
	if err := w.Enter(conn); err != nil {
		log.Fatal(err)
	}
	return w
}

// follow reads until the last publication is there.
func (w *watcher) follow() {
	for end := last.Load(); end == 0 || w.Offset < end; end = last.Load() {
		if err := w.Step(); err != nil {
			log.Fatalf("a subscriber: %v", err)
		}
	}
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	publisher, err := hub.NewPublisher(*address, channel, *padding)
	if err != nil {
		log.Fatal(err)
	}
	all := make([]*watcher, *subscribers)
	for n := range all[1:] {
		all[n+1] = enter(n+1, 0)
	}
	all[0] = enter(0, receiveBuffer)
	var done sync.WaitGroup
	for _, one := range all[1:] {
		done.Add(1)
		go func(one *watcher) {
			defer done.Done()
			one.follow()
		}(one)
	}
	slow := all[0]
	say("ready")
	stopped := make(chan struct{})
	done.Add(1)
	go func() {
		defer done.Done()
		if !*nobody {
			<-stopped
		}
		slow.follow()
	}()
	run(publisher, *stop)
	say("stopped")
	close(stopped)
	run(publisher, warmUp)
	last.Store(publisher.Published + 1)
	publish(publisher)
	wait(&done)
	say("caught up")
	conclude(all, publisher.Published)
}

func run(publisher *hub.Publisher, length time.Duration) {
	if err := publisher.Run(*rate, *batch, length); err != nil {
		log.Fatal(err)
	}
}

func publish(publisher *hub.Publisher) {
	if err := publisher.Publish(1); err != nil {
		log.Fatal(err)
	}
}

func wait(done *sync.WaitGroup) {
	isDone := make(chan struct{})
	go func() {
		done.Wait()
		close(isDone)
	}()
	select {
	case <-isDone:
	case <-time.After(catchUp):
		log.Fatal("not everybody caught up")
	}
}

func conclude(all []*watcher, published uint64) {
	var ages []uint32
	var lost, doubled, gaps uint64
	for _, one := range all[1:] {
		ages = append(ages, one.ages...)
		lost, doubled, gaps = lost+one.Lost, doubled+one.Doubled, gaps+one.Gaps
	}
	sort.Slice(ages, func(a, b int) bool { return ages[a] < ages[b] })
	ms := func(share float64) float64 { return float64(ages[int(float64(len(ages)-1)*share)]) / 1000 }
	slow := all[0]
	fmt.Printf("%d publications to %d, half of them within %.1f ms, 99 of 100 within %.1f: lost %d, doubled %d, gaps %d; the slow one: lost %d, doubled %d, gaps told %d\n",
		published, len(all), ms(0.5), ms(0.99), lost, doubled, gaps, slow.Lost, slow.Doubled, slow.Gaps)
	isWhole := slow.Lost+slow.Doubled == 0 && (slow.Gaps > 0) == (*gap && !*nobody)
	if lost+doubled+gaps > 0 || !isWhole {
		os.Exit(1)
	}
}
