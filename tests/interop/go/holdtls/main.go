// Command holdtls opens many TLS connections and holds them, with a heartbeat of each from time to time. Whoever
// started it tells it by lines: it says "open" when all are there; then "beat SECONDS" makes each connection send a
// heartbeat once in an interval, one after the other, and is answered by how many did; the end of its input ends all.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	openers  = 8
	patience = 10 * time.Second
	tick     = 10 * time.Millisecond
	request  = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// A heartbeat is a line, or an empty ping in a frame that is masked as a client's are.
type heartbeat struct{ question, answer string }

var (
	line  = heartbeat{"ping\n", "pong\n"}
	frame = heartbeat{"\x89\x80\x12\x34\x56\x78", "\x8a\x00"}
)

func (h heartbeat) ask(conn *tls.Conn) error {
	_, err := io.WriteString(conn, h.question)
	return err
}

func (h heartbeat) check(conn *tls.Conn) error {
	conn.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, len(h.answer))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != h.answer {
		return fmt.Errorf("expected %q, got %q", h.answer, answer)
	}
	return nil
}

func upgrade(conn *tls.Conn) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	// Nothing follows the answer, as nothing was asked yet, so the reader may be thrown away.
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != accept {
		return errors.New("the upgrade was refused: " + response.Status)
	}
	return nil
}

// open makes one connection and sees one heartbeat answered.
func open(address string, config *tls.Config, beat heartbeat) (*tls.Conn, error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	if beat == frame {
		if err := upgrade(conn); err != nil {
			return nil, err
		}
	}
	if err := beat.ask(conn); err != nil {
		return nil, err
	}
	if err := beat.check(conn); err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

func openAll(addresses []string, config *tls.Config, beat heartbeat, count int) []*tls.Conn {
	conns := make([]*tls.Conn, count)
	var group sync.WaitGroup
	for first := 0; first < openers; first++ {
		group.Add(1)
		go func(first int) {
			defer group.Done()
			for n := first; n < count; n += openers {
				conn, err := open(addresses[n%len(addresses)], config, beat)
				if err != nil {
					log.Fatalf("connection %d: %v", n, err)
				}
				conns[n] = conn
			}
		}(first)
	}
	group.Wait()
	return conns
}

// beatAll makes each connection beat once in interval, one after the other, and returns how many did. Answers are
// looked at in the next tick, so that the server is not waited for.
func beatAll(conns []*tls.Conn, beat heartbeat, interval, duration time.Duration) int {
	began, sent, checked := time.Now(), 0, 0
	for elapsed := time.Duration(0); elapsed < duration; elapsed = time.Since(began) {
		due := int(elapsed.Seconds() / interval.Seconds() * float64(len(conns)))
		for ; checked < sent; checked++ {
			must(beat.check(conns[checked%len(conns)]))
		}
		for ; sent < due; sent++ {
			must(beat.ask(conns[sent%len(conns)]))
		}
		time.Sleep(tick)
	}
	for ; checked < sent; checked++ {
		must(beat.check(conns[checked%len(conns)]))
	}
	return sent
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	addrs := flag.String("addrs", "127.0.0.1:8000", "where the server listens, with commas between")
	root := flag.String("root", "", "the certificate to trust, PEM; it has to be for localhost")
	count := flag.Int("connections", 10000, "connections to hold")
	interval := flag.Duration("interval", 25*time.Second, "time between heartbeats of a connection")
	websocket := flag.Bool("websocket", false, "upgrade to WebSocket, and beat with pings")
	flag.Parse()

	pem, err := os.ReadFile(*root)
	must(err)
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		log.Fatal("no certificate in ", *root)
	}
	beat := line
	if *websocket {
		beat = frame
	}

	conns := openAll(strings.Split(*addrs, ","), config, beat, *count)
	fmt.Println("open")
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		var seconds float64
		if _, err := fmt.Sscanf(input.Text(), "beat %g", &seconds); err != nil {
			log.Fatalf("%q is no command", input.Text())
		}
		fmt.Println(beatAll(conns, beat, *interval, time.Duration(seconds*float64(time.Second))))
	}
}
