package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Subscriber hears of one channel, connection after connection, and knows how far it got.
type Subscriber struct {
	Channel string
	// BySession: it comes back with the secret of its session besides its position.
	BySession bool
	// On is told each publication's data, as a number and the time it was published at in nanoseconds.
	On func(number, at uint64)

	Epoch  string
	Offset uint64
	// Publications that came twice or were never told, recoveries that brought everything, and gaps that were told.
	Doubled, Lost, Recovered, Gaps uint64

	conn    *Conn
	entered bool
	session string
	// The subscription was left to the session to bring back.
	resumes bool
}

type result struct {
	Recovered     bool   `json:"recovered"`
	WasRecovering bool   `json:"was_recovering"`
	Epoch         string `json:"epoch"`
	Offset        uint64 `json:"offset"`
	Gap           *struct{ From, To uint64 }
	Publications  []publication
}

type publication struct {
	Data   struct{ N, T uint64 }
	Offset uint64
}

type reply struct {
	Id    int
	Error *struct {
		Code    int
		Message string
	}
	Connect *struct {
		Session string
		Resumed bool
		Subs    map[string]result
	}
	Subscribe *result
	Push      *struct {
		Unsubscribe *struct{ Code int }
		Disconnect  *struct{ Code int }
	}
}

// Enter connects and subscribes, from its position where it has one, and returns when both are answered.
func (s *Subscriber) Enter(conn *Conn) error {
	s.conn, s.entered = conn, false
	connect := `{"id":1,"connect":{"name":"load"}}`
	if s.resumes = s.BySession && s.session != ""; s.resumes {
		connect = fmt.Sprintf(`{"id":1,"connect":{"session":%q,"subs":{%q:{"recover":true,"epoch":%q,"offset":%d}}}}`,
			s.session, s.Channel, s.Epoch, s.Offset)
	} else {
		connect += "\n" + s.subscribe()
	}
	if err := conn.Send(connect); err != nil {
		return err
	}
	for !s.entered {
		if err := s.Step(); err != nil {
			return err
		}
	}
	return nil
}

// Step takes one unit.
func (s *Subscriber) Step() error {
	unit, err := s.conn.Receive()
	if err != nil {
		return err
	}
	for len(unit) > 0 {
		document, rest, _ := bytes.Cut(unit, []byte("\n"))
		if err := s.take(document); err != nil {
			return err
		}
		unit = rest
	}
	return nil
}

func (s *Subscriber) subscribe() string {
	if s.Epoch == "" {
		return fmt.Sprintf(`{"id":2,"subscribe":{"channel":%q}}`, s.Channel)
	}
	const form = `{"id":2,"subscribe":{"channel":%q,"recover":true,"epoch":%q,"offset":%d}}`
	return fmt.Sprintf(form, s.Channel, s.Epoch, s.Offset)
}

func (s *Subscriber) take(document []byte) error {
	if string(document) == "{}" {
		return s.conn.Send("{}")
	}
	if offset, number, at, ok := pushed(document); ok {
		s.step(offset, number, at)
		return nil
	}
	var told reply
	if err := json.Unmarshal(document, &told); err != nil {
		return fmt.Errorf("%.80q: %w", document, err)
	}
	switch {
	case told.Error != nil:
		return fmt.Errorf("command %d: error %d, %s", told.Id, told.Error.Code, told.Error.Message)
	case told.Connect != nil:
		s.session = told.Connect.Session
		if result, found := told.Connect.Subs[s.Channel]; found {
			s.begin(&result)
		} else if s.resumes {
			return s.conn.Send(s.subscribe())
		}
	case told.Subscribe != nil:
		s.begin(told.Subscribe)
	case told.Push != nil && told.Push.Unsubscribe != nil:
		return s.conn.Send(s.subscribe())
	case told.Push != nil && told.Push.Disconnect != nil:
		return fmt.Errorf("disconnected: %d", told.Push.Disconnect.Code)
	default:
		return fmt.Errorf("not understood: %.80q", document)
	}
	return nil
}

// begin takes the answer to a subscription: all that was missed, or that something is.
func (s *Subscriber) begin(result *result) {
	s.entered = true
	if s.Epoch != "" && (!result.Recovered || result.Gap != nil || result.Epoch != s.Epoch) {
		s.Gaps++
		s.Offset = result.Offset
	} else if s.Epoch == "" {
		s.Offset = result.Offset
	} else {
		s.Recovered++
	}
	s.Epoch = result.Epoch
	for _, missed := range result.Publications {
		s.step(missed.Offset, missed.Data.N, missed.Data.T)
	}
}

// step holds a publication against what has to come next. The one publisher counts from 1, so number and offset agree.
func (s *Subscriber) step(offset, number, at uint64) {
	if offset <= s.Offset {
		s.Doubled++
		return
	}
	s.Lost += offset - s.Offset - 1
	if number != offset {
		s.Lost++
	}
	s.Offset = offset
	if s.On != nil {
		s.On(number, at)
	}
}

var (
	pushBegins  = []byte(`{"push":{"channel":`)
	pubBegins   = []byte(`,"pub":{"data":{"n":`)
	timeBegins  = []byte(`,"t":`)
	offsetLeads = []byte(`,"offset":`)
)

// pushed reads a publication's push as the hub writes it.
func pushed(document []byte) (offset, number, at uint64, ok bool) {
	if !bytes.HasPrefix(document, pushBegins) {
		return 0, 0, 0, false
	}
	number, rest, found := numberBehind(document, pubBegins)
	if !found {
		return 0, 0, 0, false
	}
	at, _, _ = numberBehind(rest, timeBegins)
	last := bytes.LastIndex(rest, offsetLeads)
	if last < 0 {
		return 0, 0, 0, false
	}
	offset, _, ok = numberBehind(rest[last:], offsetLeads)
	return offset, number, at, ok
}

func numberBehind(text, lead []byte) (uint64, []byte, bool) {
	begin := bytes.Index(text, lead)
	if begin < 0 {
		return 0, nil, false
	}
	text = text[begin+len(lead):]
	end := bytes.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return 0, nil, false
	}
	number, err := strconv.ParseUint(string(text[:end]), 10, 64)
	return number, text[end:], err == nil
}
