// Command rawping writes a bare "ping" without any framing every second and expects a bare "pong" from one Read.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where the server listens")
	interval := flag.Duration("interval", time.Second, "time between heartbeats")
	rounds := flag.Int("rounds", 10, "heartbeats to see answered")
	flag.Parse()

	conn, err := net.Dial("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	buf := make([]byte, 1024)
	for i := 0; i < *rounds; i++ {
		if _, err := conn.Write([]byte("ping")); err != nil {
			log.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(*interval * 5 / 2))
		n, err := conn.Read(buf)
		if err != nil {
			log.Fatalf("after %d pongs: %v", i, err)
		}
		if string(buf[:n]) != "pong" {
			log.Fatalf("expected pong, got %q", buf[:n])
		}
		time.Sleep(*interval)
	}
	fmt.Printf("rawping: %d pongs\n", *rounds)
}
