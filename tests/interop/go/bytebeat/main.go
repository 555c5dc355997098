// Command bytebeat uses the one byte 0x01 as its heartbeat, bare or as the body of a length frame, and expects the
// same back.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where the server listens")
	interval := flag.Duration("interval", 5*time.Second, "time between heartbeats")
	rounds := flag.Int("rounds", 10, "heartbeats to see answered")
	framed := flag.Bool("framed", false, "send the byte in a frame of a 4-byte big-endian length")
	flag.Parse()

	beat, name := []byte{0x01}, "bare"
	if *framed {
		beat, name = []byte{0, 0, 0, 1, 0x01}, "framed"
	}

	conn, err := net.Dial("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	answer := make([]byte, len(beat))
	for i := 0; i < *rounds; i++ {
		if _, err := conn.Write(beat); err != nil {
			log.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(*interval * 5 / 2))
		if _, err := io.ReadFull(conn, answer); err != nil {
			log.Fatalf("after %d answers: %v", i, err)
		}
		if !bytes.Equal(answer, beat) {
			log.Fatalf("expected % x, got % x", beat, answer)
		}
		time.Sleep(*interval)
	}
	fmt.Printf("bytebeat: %d %s answers\n", *rounds, name)
}
