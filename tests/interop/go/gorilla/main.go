// Command gorilla talks to an echo server through gorilla/websocket and prints a line of figures for each check that
// its arguments name.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	mib      = 1 << 20
	patience = 10 * time.Second
)

type client struct {
	url    string
	dialer websocket.Dialer
}

// counted tells how many bytes came in.
type counted struct {
	net.Conn
	in int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in += n
	return n, err
}

func (c *client) connect() (*websocket.Conn, *http.Response, error) {
	conn, response, err := c.dialer.Dial(c.url, nil)
	if err == nil {
		conn.SetReadDeadline(time.Now().Add(patience))
	}
	return conn, response, err
}

func echo(conn *websocket.Conn, kind int, body []byte) error {
	if err := conn.WriteMessage(kind, body); err != nil {
		return err
	}
	return expect(conn, kind, body)
}

func expect(conn *websocket.Conn, kind int, body []byte) error {
	got, answer, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	if got != kind || !bytes.Equal(answer, body) {
		return fmt.Errorf("a message of kind %d and %d bytes came back as %d and %d", kind, len(body), got, len(answer))
	}
	return nil
}

func echoes(conn *websocket.Conn) (int, error) {
	texts := []string{"hi", "", "naïve – 潮汐 🌊", strings.Repeat("é", mib/2)}
	noise := make([]byte, mib)
	rand.Read(noise)
	binaries := [][]byte{{}, {0xff, 0xfe, 0}, noise}
	for _, size := range []int{125, 126, 65535, 65536} {
		texts = append(texts, strings.Repeat("x", size))
		binaries = append(binaries, noise[:size])
	}
	for _, text := range texts {
		if err := echo(conn, websocket.TextMessage, []byte(text)); err != nil {
			return 0, err
		}
	}
	for _, binary := range binaries {
		if err := echo(conn, websocket.BinaryMessage, binary); err != nil {
			return 0, err
		}
	}
	return len(texts) + len(binaries), fragments(conn, noise)
}

// fragments sends a message larger than the writer's buffer, which leaves in as many frames as it takes.
func fragments(conn *websocket.Conn, noise []byte) error {
	writer, err := conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	for part := range bytes.SplitSeq(noise[:100_000], []byte{0}) {
		if _, err := writer.Write(part); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return expect(conn, websocket.BinaryMessage, bytes.ReplaceAll(noise[:100_000], []byte{0}, nil))
}

func (c *client) messages() (string, error) {
	conn, _, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	count, err := echoes(conn)
	return fmt.Sprintf("%d messages and one in fragments came back", count), err
}

func (c *client) pings() (string, error) {
	conn, _, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var pongs []string
	conn.SetPongHandler(func(payload string) error {
		pongs = append(pongs, payload)
		return nil
	})
	asked := []string{"", "\x00\xff", strings.Repeat("p", 125)}
	for _, payload := range asked {
		if err := conn.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience)); err != nil {
			return "", err
		}
		if err := echo(conn, websocket.TextMessage, []byte("after it")); err != nil {
			return "", err
		}
	}
	if fmt.Sprint(pongs) != fmt.Sprint(asked) {
		return "", fmt.Errorf("pings %q were answered by %q", asked, pongs)
	}
	return fmt.Sprintf("%d pings were answered", len(pongs)), nil
}

func (c *client) closes() (string, error) {
	codes := []int{1000, 1001, 3000, 4999}
	for _, code := range codes {
		conn, _, err := c.connect()
		if err != nil {
			return "", err
		}
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "done"), time.Now().Add(patience))
		_, _, err = conn.ReadMessage()
		if !websocket.IsCloseError(err, code) {
			return "", fmt.Errorf("close %d was answered by %w", code, err)
		}
		conn.Close()
	}
	return fmt.Sprintf("closes answered: %v", codes), nil
}

// deflate offers what gorilla can: compression without context takeover on either side.
func (c *client) deflate(mode string) (string, error) {
	var wire *counted
	c.dialer.EnableCompression = true
	c.dialer.NetDial = func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		wire = &counted{Conn: conn}
		return wire, err
	}
	conn, response, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	agreed := response.Header.Get("Sec-WebSocket-Extensions")
	if (agreed == "") != (mode == "off") {
		return "", fmt.Errorf("deflate %s: agreed on %q", mode, agreed)
	}
	if _, err := echoes(conn); err != nil {
		return "", err
	}
	noise := make([]byte, 4096)
	for range 20 {
		rand.Read(noise)
		if err := echo(conn, websocket.TextMessage, []byte(hex.EncodeToString(noise))); err != nil {
			return "", err
		}
	}
	before := wire.in
	if err := echo(conn, websocket.TextMessage, bytes.Repeat([]byte("the same again and again "), mib/25)); err != nil {
		return "", err
	}
	took := wire.in - before
	if (took < mib/20) != (mode != "off") {
		return "", fmt.Errorf("deflate %s: 1 MiB of text took %d bytes", mode, took)
	}
	return fmt.Sprintf("deflate %s: %q, 1 MiB of text took %d bytes", mode, agreed, took), nil
}

func (c *client) hundred() (string, error) {
	began := time.Now()
	failures := make([]error, 100)
	var all sync.WaitGroup
	for n := range failures {
		all.Add(1)
		go func() {
			defer all.Done()
			conn, _, err := c.connect()
			for turn := 0; err == nil && turn < 10; turn++ {
				err = echo(conn, websocket.TextMessage, fmt.Appendf(nil, "%d %d", n, turn))
			}
			if conn != nil {
				conn.Close()
			}
			failures[n] = err
		}()
	}
	all.Wait()
	return fmt.Sprintf("100 at once had 10 answers each in %v", time.Since(began).Round(time.Millisecond)),
		errors.Join(failures...)
}

// trust talks through TLS with the authority given, and is refused without.
func (c *client) trust(authority string) (string, error) {
	file, err := os.ReadFile(authority)
	if err != nil {
		return "", err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(file)
	c.dialer.TLSClientConfig = &tls.Config{RootCAs: pool}
	conn, _, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	count, err := echoes(conn)
	if err != nil {
		return "", err
	}
	c.dialer.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
	_, _, err = c.connect()
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		return "", fmt.Errorf("without the authority: %v", err)
	}
	version := tls.VersionName(conn.NetConn().(*tls.Conn).ConnectionState().Version)
	return fmt.Sprintf("wss: %d messages came back over %s; without the authority: %v", count, version, err), nil
}

// drain says that it is open, and waits for the server to end it.
func (c *client) drain() (string, error) {
	conn, _, err := c.connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Println("open")
	_, _, err = conn.ReadMessage()
	if !websocket.IsCloseError(err, 3001) || !strings.Contains(err.Error(), "shutting down") {
		return "", fmt.Errorf("SIGTERM: %w", err)
	}
	return fmt.Sprintf("SIGTERM: %v", err), nil
}

func (c *client) check(name, argument string) (string, error) {
	switch name {
	case "messages":
		return c.messages()
	case "pings":
		return c.pings()
	case "closes":
		return c.closes()
	case "deflate":
		return c.deflate(argument)
	case "hundred":
		return c.hundred()
	case "trust":
		return c.trust(argument)
	case "drain":
		return c.drain()
	}
	return "", fmt.Errorf("no check is called %q", name)
}

func main() {
	url := flag.String("url", "ws://127.0.0.1:8000/", "where the server listens")
	flag.Parse()
	log.SetFlags(0)

	for _, argument := range flag.Args() {
		name, rest, _ := strings.Cut(argument, ":")
		c := client{url: *url, dialer: websocket.Dialer{HandshakeTimeout: patience}}
		told, err := c.check(name, rest)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		fmt.Println(told)
	}
}
