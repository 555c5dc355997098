// Command nbio is lesismal/nbio, without blocking: `nbio echo|broadcast PORT`.
//
// One poller, and messages handled in it, as there is one CPU and nothing to wait for; payloads go back to the library's
// pool. No compression; the library sets TCP_NODELAY.
package main

import (
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: nbio echo|broadcast PORT")
	}
	logging.SetLevel(logging.LevelError)
	upgrader := websocket.NewUpgrader()
	upgrader.KeepaliveTime = time.Hour
	if os.Args[1] == "broadcast" {
		broadcast(upgrader)
	} else {
		upgrader.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, message []byte) {
			c.WriteMessage(kind, message)
		})
	}
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   []string{"127.0.0.1:" + os.Args[2]},
		IOMod:                   nbhttp.IOModNonBlocking,
		NPoller:                 1,
		ReadLimit:               1 << 20,
		ReleaseWebsocketPayload: true,
		ServerExecutor:          func(f func()) { f() },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.Upgrade(w, r, nil)
		}),
	})
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	select {}
}

func broadcast(upgrader *websocket.Upgrader) {
	var lock sync.RWMutex
	members := map[*websocket.Conn]struct{}{}
	upgrader.OnOpen(func(c *websocket.Conn) {
		lock.Lock()
		members[c] = struct{}{}
		lock.Unlock()
	})
	upgrader.OnClose(func(c *websocket.Conn, _ error) {
		lock.Lock()
		delete(members, c)
		lock.Unlock()
	})
	upgrader.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, message []byte) {
		lock.RLock()
		defer lock.RUnlock()
		for other := range members {
			if other != c {
				other.WriteMessage(kind, message)
			}
		}
	})
}
