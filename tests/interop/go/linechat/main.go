// Command linechat talks newline text through bufio, with ping and pong as its heartbeat.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"net"
	"sync"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where the server listens")
	interval := flag.Duration("interval", 5*time.Second, "time between heartbeats")
	rounds := flag.Int("rounds", 10, "heartbeats to see answered")
	flag.Parse()

	conn, err := net.Dial("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	var mu sync.Mutex
	writer := bufio.NewWriter(conn)
	say := func(format string, args ...any) error {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(writer, format+"\n", args...)
		return writer.Flush()
	}

	go func() {
		for range time.Tick(*interval) {
			if err := say("ping"); err != nil {
				return
			}
		}
	}()

	if err := say("hello number 0"); err != nil {
		log.Fatal(err)
	}
	pongs, echoes := 0, 0
	scanner := bufio.NewScanner(conn)
	conn.SetReadDeadline(time.Now().Add(*interval * 5 / 2))
	for pongs < *rounds && scanner.Scan() {
		conn.SetReadDeadline(time.Now().Add(*interval * 5 / 2))
		switch line := scanner.Text(); line {
		case "pong":
			pongs++
			if err := say("hello number %d", echoes); err != nil {
				log.Fatal(err)
			}
		case fmt.Sprintf("hello number %d", echoes):
			echoes++
		default:
			log.Fatalf("unexpected line %q", line)
		}
	}
	if err := scanner.Err(); err != nil {
		log.Fatalf("after %d pongs: %v", pongs, err)
	}
	if pongs < *rounds {
		log.Fatalf("the server hung up after %d pongs", pongs)
	}
	fmt.Printf("linechat: %d pongs, %d echoes\n", pongs, echoes)
}
