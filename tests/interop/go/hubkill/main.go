// Command hubkill cuts every subscriber's connection at random, again and again, and shows that each has the whole
// sequence in the end. The cuts are made by a proxy in between: in the middle of a frame, by a reset or an end.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"interop/hub"
)

var (
	address     = flag.String("addr", "127.0.0.1:8000", "where the server listens, on auto")
	subscribers = flag.Int("subscribers", 200, "on all three wires")
	rate        = flag.Int("rate", 500, "publications a second")
	length      = flag.Duration("time", time.Minute, "of publishing and cutting")
	every       = flag.Duration("every", 3*time.Second, "a connection lives so long, on average")
	seed        = flag.Int64("seed", time.Now().UnixNano(), "of the cuts")
)

const (
	channel   = "load:kill"
	longAway  = 700 * time.Millisecond
	fewBytes  = 4096 // that still pass once a cut is due, at most
	catchUp   = 30 * time.Second
	batchSize = 5
)

var cuts atomic.Int64
var calm atomic.Bool

// cutter passes bytes on between one subscriber and the server, until it cuts the connection.
type cutter struct {
	listener net.Listener
	random   *rand.Rand
}

func newCutter(random *rand.Rand) *cutter {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return &cutter{listener, random}
}

// serve takes one connection after the other; the subscriber has one at a time.
func (c *cutter) serve() {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", *address)
		if err != nil {
			near.Close()
			continue
		}
		c.pass(near.(*net.TCPConn), far.(*net.TCPConn))
	}
}

func (c *cutter) pass(near, far *net.TCPConn) {
	go func() {
		io.Copy(far, near)
		far.CloseWrite()
	}()
	due := time.Now().Add(time.Duration(c.random.ExpFloat64() * float64(*every)))
	buffer := make([]byte, 32<<10)
	left := 1 + c.random.Intn(fewBytes)
	for {
		count, err := far.Read(buffer)
		isDue := time.Now().After(due) && !calm.Load()
		if isDue && count >= left {
			near.Write(buffer[:left])
			break
		}
		if isDue {
			left -= count
		}
		if _, wrong := near.Write(buffer[:count]); wrong != nil || err != nil {
			break
		}
	}
	c.cut(near, far)
}

func (c *cutter) cut(near, far *net.TCPConn) {
	if !calm.Load() {
		cuts.Add(1)
	}
	if c.random.Intn(2) == 0 {
		near.SetLinger(0)
	}
	if c.random.Intn(2) == 0 {
		far.SetLinger(0)
	}
	near.Close()
	far.Close()
}

// follow keeps a subscriber coming back until it has the last publication.
func follow(subscriber *hub.Subscriber, wire, through string, random *rand.Rand, last *atomic.Uint64, begun func()) {
	var once sync.Once
	for {
		conn, err := hub.Dial(wire, through)
		if err == nil {
			err = subscriber.Enter(conn)
			if err == nil {
				once.Do(begun)
			}
			for err == nil {
				if end := last.Load(); end > 0 && subscriber.Offset >= end {
					conn.Close()
					return
				}
				err = subscriber.Step()
			}
			conn.Close()
		}
		if end := last.Load(); end > 0 && subscriber.Offset >= end {
			return
		}
		time.Sleep(time.Duration(random.Int63n(int64(longAway))))
	}
}

func main() {
	flag.Parse()
	publisher, err := hub.NewPublisher(*address, channel, 0)
	if err != nil {
		log.Fatal(err)
	}
	var last atomic.Uint64
	var begun, done sync.WaitGroup
	all := make([]*hub.Subscriber, *subscribers)
	for n := range all {
		random := rand.New(rand.NewSource(*seed + int64(n)))
		cutter := newCutter(rand.New(rand.NewSource(*seed - int64(n) - 1)))
		all[n] = &hub.Subscriber{Channel: channel, BySession: n%2 == 1}
		begun.Add(1)
		done.Add(1)
		go cutter.serve()
		go func(n int) {
			defer done.Done()
			follow(all[n], hub.Wires[n%len(hub.Wires)], cutter.listener.Addr().String(), random, &last, begun.Done)
		}(n)
	}
	begun.Wait()
	if err := publisher.Run(*rate, batchSize, *length); err != nil {
		log.Fatal(err)
	}
	// From here on nobody is cut, and one publication more tells those who have everything that it was all.
	calm.Store(true)
	last.Store(publisher.Published + 1)
	if err := publisher.Publish(1); err != nil {
		log.Fatal(err)
	}
	isWhole := make(chan struct{})
	go func() {
		done.Wait()
		close(isWhole)
	}()
	select {
	case <-isWhole:
	case <-time.After(catchUp):
		fmt.Println("not everybody caught up")
	}
	conclude(all, last.Load())
}

func conclude(all []*hub.Subscriber, last uint64) {
	var sum hub.Subscriber
	behind := 0
	for _, one := range all {
		sum.Recovered += one.Recovered
		sum.Lost += one.Lost
		sum.Doubled += one.Doubled
		sum.Gaps += one.Gaps
		if one.Offset < last {
			behind++
		}
	}
	fmt.Printf("%d subscribers on ws, tcp and line, %d publications, %d cuts (seed %d): recovered %d, lost %d, doubled %d, gaps %d, behind %d\n",
		len(all), last, cuts.Load(), *seed, sum.Recovered, sum.Lost, sum.Doubled, sum.Gaps, behind)
	if sum.Lost+sum.Doubled+sum.Gaps > 0 || behind > 0 || cuts.Load() == 0 {
		os.Exit(1)
	}
}
