// Command gorilla is gorilla/websocket: `gorilla echo|broadcast PORT`.
//
// A goroutine reads each connection, into one buffer that it keeps; net/http sets TCP_NODELAY. No compression; the buffers
// are those of net/http, which the library's documentation recommends for memory. A broadcast prepares the message once
// and hands it to the goroutine that writes each connection.
package main

import (
	"bytes"
	"log"
	"net/http"
	"os"
	"sync"

	"github.com/gorilla/websocket"
)

const (
	maxMessageBytes = 1 << 20
	queueMessages   = 1024
)

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: gorilla echo|broadcast PORT")
	}
	handle := echo
	if os.Args[1] == "broadcast" {
		handle = (&room{members: map[*member]struct{}{}}).enter
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetReadLimit(maxMessageBytes)
		handle(conn)
	})))
}

func echo(conn *websocket.Conn) {
	var message bytes.Buffer
	for {
		kind, err := read(conn, &message)
		if err != nil {
			return
		}
		if conn.WriteMessage(kind, message.Bytes()) != nil {
			return
		}
	}
}

func read(conn *websocket.Conn, into *bytes.Buffer) (int, error) {
	kind, reader, err := conn.NextReader()
	if err != nil {
		return 0, err
	}
	into.Reset()
	_, err = into.ReadFrom(reader)
	return kind, err
}

type member struct {
	queue chan *websocket.PreparedMessage
}

type room struct {
	lock    sync.RWMutex
	members map[*member]struct{}
}

func (r *room) enter(conn *websocket.Conn) {
	me := &member{queue: make(chan *websocket.PreparedMessage, queueMessages)}
	r.lock.Lock()
	r.members[me] = struct{}{}
	r.lock.Unlock()
	go write(conn, me.queue)
	var message bytes.Buffer
	for {
		kind, err := read(conn, &message)
		if err != nil {
			break
		}
		prepared, err := websocket.NewPreparedMessage(kind, bytes.Clone(message.Bytes()))
		if err != nil {
			break
		}
		r.toOthers(me, prepared)
	}
	r.lock.Lock()
	delete(r.members, me)
	r.lock.Unlock()
	close(me.queue)
}

func (r *room) toOthers(me *member, message *websocket.PreparedMessage) {
	r.lock.RLock()
	defer r.lock.RUnlock()
	for other := range r.members {
		if other != me {
			other.queue <- message
		}
	}
}

func write(conn *websocket.Conn, queue chan *websocket.PreparedMessage) {
	for message := range queue {
		if conn.WritePreparedMessage(message) != nil {
			conn.Close()
			break
		}
	}
	for range queue {
		// Until the reader has left the room.
	}
}
