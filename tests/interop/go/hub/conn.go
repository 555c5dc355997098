// Package hub speaks the hub's protocol over its three wires: as much of it as a load needs, and strict about what a
// subscriber is promised. It never reconnects by itself.
package hub

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Wires are the ways to carry documents; a listener on auto tells them apart.
var Wires = []string{"ws", "tcp", "line"}

// Conn is one connection on one wire.
type Conn struct {
	net.Conn
	wire   string
	reader *bufio.Reader
	unit   []byte
}

const (
	patience  = 30 * time.Second
	maxUnit   = 16 << 20
	textFrame = 0x81
	closeCode = 8
)

// Dial connects and, on ws, upgrades.
func Dial(wire, address string) (*Conn, error) {
	return DialNarrow(wire, address, 0)
}

// DialNarrow connects with a receive buffer of so many bytes; 0: what the system gives. It has to be small before the
// window is told, or the kernel takes megabytes in for who reads nothing.
func DialNarrow(wire, address string, receiveBuffer int) (*Conn, error) {
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, socket syscall.RawConn) (err error) {
		if receiveBuffer > 0 {
			wrong := socket.Control(func(descriptor uintptr) {
				err = syscall.SetsockoptInt(int(descriptor), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
			})
			err = errors.Join(err, wrong)
		}
		return err
	}}
	socket, err := dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn := &Conn{Conn: socket, wire: wire, reader: bufio.NewReaderSize(socket, 4096)}
	if wire == "ws" {
		if err := conn.upgrade(); err != nil {
			socket.Close()
			return nil, err
		}
	}
	return conn, nil
}

func (c *Conn) upgrade() error {
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	fmt.Fprintf(c.Conn, "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	for n := 0; ; n++ {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return err
		}
		if n == 0 && !strings.HasPrefix(line, "HTTP/1.1 101 ") {
			return fmt.Errorf("the upgrade was refused: %q", line)
		}
		if line == "\r\n" {
			return nil
		}
	}
}

// Send sends documents, with line ends between them, as one unit; on the line wire each is a unit of its own.
func (c *Conn) Send(documents string) error {
	c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(c.frame([]byte(documents)))
	return err
}

func (c *Conn) frame(body []byte) []byte {
	switch c.wire {
	case "line":
		return append(body, '\n')
	case "tcp":
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	frame := []byte{textFrame, 0x80 | 126}
	if len(body) < 126 {
		frame[1] = 0x80 | byte(len(body))
	} else if len(body) < 1<<16 {
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(body)))
	} else {
		frame[1] = 0x80 | 127
		frame = binary.BigEndian.AppendUint64(frame, uint64(len(body)))
	}
	var key [4]byte
	rand.Read(key[:])
	frame = append(frame, key[:]...)
	for n, b := range body {
		frame = append(frame, b^key[n%4])
	}
	return frame
}

// Receive gives the documents of the next unit, valid until the next call. Within patience something has to come.
func (c *Conn) Receive() ([]byte, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	switch c.wire {
	case "line":
		return c.receiveLine()
	case "tcp":
		header, err := c.take(4)
		if err != nil {
			return nil, err
		}
		return c.body(uint64(binary.BigEndian.Uint32(header)))
	}
	return c.receiveFrame()
}

func (c *Conn) receiveLine() ([]byte, error) {
	c.unit = c.unit[:0]
	for {
		part, err := c.reader.ReadSlice('\n')
		c.unit = append(c.unit, part...)
		if err == nil {
			return c.unit[:len(c.unit)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(c.unit) > maxUnit {
			return nil, err
		}
	}
}

func (c *Conn) receiveFrame() ([]byte, error) {
	header, err := c.take(2)
	if err != nil {
		return nil, err
	}
	opcode, size := header[0], uint64(header[1])
	if extended := map[uint64]int{126: 2, 127: 8}[size]; extended > 0 {
		bytes, err := c.take(extended)
		if err != nil {
			return nil, err
		}
		size = 0
		for _, b := range bytes {
			size = size<<8 | uint64(b)
		}
	}
	body, err := c.body(size)
	if err == nil && opcode == 0x80|closeCode {
		return nil, fmt.Errorf("closed: %q", body)
	}
	if err == nil && opcode != textFrame {
		return nil, fmt.Errorf("a frame that begins with %#x", opcode)
	}
	return body, err
}

func (c *Conn) take(count int) ([]byte, error) {
	bytes, err := c.reader.Peek(count)
	if err != nil {
		return nil, err
	}
	_, err = c.reader.Discard(count)
	return bytes, err
}

func (c *Conn) body(size uint64) ([]byte, error) {
	if size > maxUnit {
		return nil, fmt.Errorf("a unit of %d bytes", size)
	}
	if uint64(cap(c.unit)) < size {
		c.unit = make([]byte, size)
	}
	c.unit = c.unit[:size]
	_, err := io.ReadFull(c.reader, c.unit)
	return c.unit, err
}
