// Command lenjson talks JSON in frames of a 4-byte big-endian length, as tutorials show it: one goroutine reads, one
// sends a heartbeat, and the main one sends messages and waits for their echo.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"
)

type message struct {
	Type string `json:"type"`
	Seq  int    `json:"seq,omitempty"`
	Text string `json:"text,omitempty"`
}

type client struct {
	conn net.Conn
	mu   sync.Mutex
}

func (c *client) send(m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Two writes on purpose: the header often travels alone in programs like this one.
	if err := binary.Write(c.conn, binary.BigEndian, uint32(len(body))); err != nil {
		return err
	}
	_, err = c.conn.Write(body)
	return err
}

func (c *client) receive() (message, error) {
	var m message
	var length uint32
	if err := binary.Read(c.conn, binary.BigEndian, &length); err != nil {
		return m, err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return m, err
	}
	return m, json.Unmarshal(body, &m)
}

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
	c := &client{conn: conn}

	go func() {
		for range time.Tick(*interval) {
			if err := c.send(message{Type: "ping"}); err != nil {
				return
			}
		}
	}()

	if err := c.send(message{Type: "chat", Seq: 1, Text: "hello"}); err != nil {
		log.Fatal(err)
	}
	pongs, echoes := 0, 0
	for pongs < *rounds {
		conn.SetReadDeadline(time.Now().Add(*interval * 5 / 2))
		m, err := c.receive()
		if err != nil {
			log.Fatalf("after %d pongs: %v", pongs, err)
		}
		switch m.Type {
		case "pong":
			pongs++
			if err := c.send(message{Type: "chat", Seq: echoes + 1, Text: "hello"}); err != nil {
				log.Fatal(err)
			}
		case "chat":
			echoes++
			if m.Seq != echoes || m.Text != "hello" {
				log.Fatalf("expected hello %d, got %+v", echoes, m)
			}
		default:
			log.Fatalf("unexpected message %+v", m)
		}
	}
	fmt.Printf("lenjson: %d pongs, %d echoes\n", pongs, echoes)
}
