package hub

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Publisher publishes numbers from 1 to one channel, each with the time and padding behind it.
type Publisher struct {
	conn    *Conn
	channel string
	padding string
	// Published is the number of the last publication.
	Published uint64
}

// NewPublisher connects a publisher. Padding is in bytes.
func NewPublisher(address, channel string, padding int) (*Publisher, error) {
	conn, err := Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &Publisher{conn: conn, channel: channel, padding: strings.Repeat("p", padding)}
	return p, conn.Send(`{"id":1,"connect":{"name":"publisher"}}`)
}

// Publish sends so many publications as one unit and waits until the hub has all of them.
func (p *Publisher) Publish(count int) error {
	documents := make([]string, count)
	for n := range documents {
		p.Published++
		documents[n] = fmt.Sprintf(`{"id":%d,"publish":{"channel":%q,"data":{"n":%d,"t":%d,"p":%q}}}`,
			p.Published+1, p.channel, p.Published, time.Now().UnixNano(), p.padding)
	}
	if err := p.conn.Send(strings.Join(documents, "\n")); err != nil {
		return err
	}
	return p.await(p.Published + 1)
}

func (p *Publisher) await(command uint64) error {
	wanted := []byte(fmt.Sprintf(`{"id":%d,"publish":{`, command))
	for {
		unit, err := p.conn.Receive()
		if err != nil {
			return fmt.Errorf("the publisher: %w", err)
		}
		if bytes.Contains(unit, []byte(`"error":`)) {
			return fmt.Errorf("not published: %.120q", unit)
		}
		if string(unit) == "{}" {
			if err := p.conn.Send("{}"); err != nil {
				return err
			}
		}
		if bytes.Contains(unit, wanted) {
			return nil
		}
	}
}

// Run publishes at a rate a second in steady batches until the time is over.
func (p *Publisher) Run(rate, batch int, length time.Duration) error {
	began, due := time.Now(), 0
	for time.Since(began) < length {
		if err := p.Publish(batch); err != nil {
			return err
		}
		due += batch
		time.Sleep(time.Until(began.Add(time.Duration(due) * time.Second / time.Duration(rate))))
	}
	return nil
}
