package netdev

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// link is a network device as RTM_GETLINK describes it.
type link struct {
	index int
	name  string
	up    bool
}

const (
	linkSize    = unix.SizeofIfInfomsg
	addressSize = unix.SizeofIfAddrmsg
)

// linkMessage is a struct ifinfomsg.
func linkMessage(index int, flags, change uint32) []byte {
	m := make([]byte, linkSize)
	order.PutUint32(m[4:], uint32(index))
	order.PutUint32(m[8:], flags)
	order.PutUint32(m[12:], change)
	return m
}

func (s *socket) linkByName(name string) (link, error) {
	return s.link(appendText(linkMessage(0, 0, 0), unix.IFLA_IFNAME, name))
}

func (s *socket) linkByIndex(index int) (link, error) { return s.link(linkMessage(index, 0, 0)) }

func (s *socket) link(message []byte) (l link, err error) {
	answers, err := s.request(unix.RTM_GETLINK, 0, message)
	if err != nil {
		return l, err
	}
	if len(answers) != 1 || len(answers[0]) < linkSize {
		return l, errWrongAnswers
	}
	answer := answers[0]
	l.index = int(int32(order.Uint32(answer[4:])))
	l.up = order.Uint32(answer[8:])&unix.IFF_UP != 0
	for kind, value := range attributes(answer[linkSize:]) {
		if kind == unix.IFLA_IFNAME {
			l.name = text(value)
		}
	}
	return l, nil
}

// setUp sets the administrative state of a device to "up".
func (s *socket) setUp(index int) error {
	_, err := s.request(unix.RTM_NEWLINK, 0, linkMessage(index, unix.IFF_UP, unix.IFF_UP))
	return err
}

// sendTo moves a device to the namespace of descriptor ns, where it gets the index and the name. The kernel gives the name
// second: if that fails, the device has moved nevertheless.
func (s *socket) sendTo(ns, index, newIndex int, newName string) error {
	m := appendNumber(linkMessage(index, 0, 0), unix.IFLA_NET_NS_FD, ns)
	m = appendNumber(m, unix.IFLA_NEW_IFINDEX, newIndex) // Linux 5.13
	m = appendText(m, unix.IFLA_IFNAME, newName)
	_, err := s.request(unix.RTM_NEWLINK, 0, m)
	return err
}

// address is a message of RTM_GETADDR or RTM_NEWADDR: they have the same form.
type address []byte

// lasting lists the addresses of a device that go where it goes: permanent ones of global scope, of any family, in the order
// in which they were added, which decides about the primary one of a network.
func (s *socket) lasting(index int) (list []address, err error) {
	message := make([]byte, addressSize)
	order.PutUint32(message[4:], uint32(index))
	answers, err := s.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, message)
	for _, a := range answers {
		if len(a) < addressSize {
			return nil, errMalformed
		}
		if int(order.Uint32(a[4:])) == index && address(a).lasts() {
			list = append(list, a)
		}
	}
	return list, err
}

// lasts reports whether the address has global scope and no end of its life.
func (a address) lasts() bool {
	flags, scope := uint32(a[2]), a[3]
	for kind, value := range attributes(a[addressSize:]) {
		if kind == unix.IFA_FLAGS && len(value) == 4 { // all 32 bits of them
			flags = order.Uint32(value)
		}
	}
	return scope == unix.RT_SCOPE_UNIVERSE && flags&unix.IFA_F_PERMANENT != 0
}

// of returns the address as one of another device. The label of an IPv4 address begins with the device's name (ifconfig's
// aliases), so it changes with the name.
func (a address) of(index int, oldName, name string) address {
	b := append(address(nil), a[:addressSize]...)
	order.PutUint32(b[4:], uint32(index))
	for kind, value := range attributes(a[addressSize:]) {
		if kind == unix.IFA_LABEL {
			label := name + strings.TrimPrefix(text(value), oldName)
			if !strings.HasPrefix(text(value), oldName) || len(label) >= unix.IFNAMSIZ {
				label = name
			}
			b = appendText(b, kind, label)
			continue
		}
		b = appendAttribute(b, kind, value)
	}
	return b
}

// String is the address with the length of its prefix.
func (a address) String() string {
	var ip []byte
	for kind, value := range attributes(a[addressSize:]) {
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && ip == nil { // IFA_ADDRESS may be the other end's
			ip = value
		}
	}
	var b []byte
	for i := range ip {
		switch {
		case len(ip) == 4:
			b = append(strconv.AppendUint(b, uint64(ip[i]), 10), '.')
		case i%2 == 1:
			b = append(strconv.AppendUint(b, uint64(ip[i-1])<<8|uint64(ip[i]), 16), ':')
		}
	}
	return string(b[:max(len(b)-1, 0)]) + "/" + strconv.Itoa(int(a[1]))
}

func (s *socket) add(a address) error {
	_, err := s.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, a)
	return err
}
