package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"husk/internal/linux"
)

// socket is a rtnetlink socket (rtnetlink(7)). It speaks for the network namespace in which it was made, whoever uses it.
type socket struct {
	fd       int
	sequence uint32
}

const (
	headerSize     = unix.SizeofNlMsghdr
	receiveSize    = 64 << 10 // more than the kernel puts into one datagram of a dump
	dumpAttempts   = 10
	attributeType  = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	extendedReason = 1 << 9 // NLM_F_ACK_TLVS, linux/netlink.h: attributes follow the message that is answered
	cappedReason   = 1 << 8 // NLM_F_CAPPED: of that message only the header is there
)

var (
	order           = binary.NativeEndian
	errInterrupted  = errors.New("the kernel's list changes all the time")
	errMalformed    = errors.New("the kernel's answer is cut short")
	errWrongAnswers = errors.New("the kernel has no answer")
)

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// Both only make answers better: reasons in words (Linux 4.12), and dumps of one device instead of all (4.20).
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &socket{fd: fd}, nil
}

// request sends one message and returns the messages of the answer, without their headers. Flags are NLM_F_*.
func (s *socket) request(kind, flags uint16, body []byte) (answers [][]byte, err error) {
	for range dumpAttempts {
		if answers, err = s.once(kind, flags, body); err != errInterrupted {
			break
		}
	}
	return answers, err
}

func (s *socket) once(kind, flags uint16, body []byte) (answers [][]byte, err error) {
	s.sequence++
	message := make([]byte, headerSize, headerSize+len(body))
	order.PutUint32(message[0:], uint32(headerSize+len(body)))
	order.PutUint16(message[4:], kind)
	order.PutUint16(message[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	order.PutUint32(message[8:], s.sequence)
	message = append(message, body...)
	if err := s.send(message); err != nil {
		return nil, err
	}
	buffer := make([]byte, receiveSize)
	interrupted := false
	for {
		n, err := s.receive(buffer)
		if err != nil {
			return nil, err
		}
		for rest := buffer[:n]; len(rest) > 0; {
			if len(rest) < headerSize {
				return nil, errMalformed
			}
			size, kind, flags := int(order.Uint32(rest)), order.Uint16(rest[4:]), order.Uint16(rest[6:])
			if size < headerSize || size > len(rest) {
				return nil, errMalformed
			}
			content := rest[headerSize:size]
			current := order.Uint32(rest[8:]) == s.sequence // else it belongs to a dump that was given up
			rest = rest[min(align(size), len(rest)):]
			interrupted = interrupted || current && flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case !current:
			case kind == unix.NLMSG_ERROR || kind == unix.NLMSG_DONE:
				if err := outcome(content, flags); err != nil {
					return nil, err
				}
				if interrupted {
					return nil, errInterrupted
				}
				return answers, nil
			default:
				answers = append(answers, append([]byte(nil), content...))
			}
		}
	}
}

func (s *socket) send(message []byte) error {
	for {
		if err := unix.Sendto(s.fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != unix.EINTR {
			return os.NewSyscallError("sendto", err)
		}
	}
}

func (s *socket) receive(buffer []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, buffer, 0)
		if err != unix.EINTR {
			return n, os.NewSyscallError("recvfrom", err)
		}
	}
}

// refusal is an error of the kernel with its reason in words.
type refusal struct {
	errno unix.Errno
	words string
}

func (r *refusal) Error() string { return fmt.Sprintf("%v (%s)", r.errno, r.words) }

func (r *refusal) Unwrap() error { return r.errno }

// outcome reads the last message of an answer: struct nlmsgerr, or the errno alone at the end of a dump.
func outcome(content []byte, flags uint16) error {
	if len(content) < 4 {
		return errMalformed
	}
	errno := unix.Errno(-int32(order.Uint32(content)))
	if errno == 0 {
		return nil
	}
	if flags&extendedReason == 0 || len(content) < 4+headerSize {
		return errno
	}
	skip := 4 + headerSize
	if flags&cappedReason == 0 {
		skip = 4 + align(int(order.Uint32(content[4:])))
	}
	for kind, value := range attributes(content[min(skip, len(content)):]) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			return &refusal{errno, text(value)}
		}
	}
	return errno
}

// attributes walks over a list of attributes (struct nlattr).
func attributes(list []byte) func(yield func(kind uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(list) >= unix.SizeofNlAttr {
			size := int(order.Uint16(list))
			if size < unix.SizeofNlAttr || size > len(list) || !yield(order.Uint16(list[2:])&attributeType, list[unix.SizeofNlAttr:size]) {
				return
			}
			list = list[min(align(size), len(list)):]
		}
	}
}

func appendAttribute(message []byte, kind uint16, value []byte) []byte {
	message = order.AppendUint16(message, uint16(unix.SizeofNlAttr+len(value)))
	message = order.AppendUint16(message, kind)
	message = append(message, value...)
	return append(message, make([]byte, align(len(value))-len(value))...)
}

func appendNumber(message []byte, kind uint16, value int) []byte {
	return appendAttribute(message, kind, order.AppendUint32(nil, uint32(value)))
}

func appendText(message []byte, kind uint16, value string) []byte {
	return appendAttribute(message, kind, append([]byte(value), 0))
}

func align(n int) int { return (n + 3) &^ 3 }

func text(value []byte) string { return strings.TrimRight(string(value), "\x00") }

func (s *socket) close() { linux.Close(s.fd) }
