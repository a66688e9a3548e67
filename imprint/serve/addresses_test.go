package serve

import (
	"fmt"
	"net"
	"testing"
)

func TestReachable(t *testing.T) {
	for _, test := range []struct {
		addrs []string
		want  string
	}{
		{[]string{"127.0.0.1/8", "::1/128", "192.168.1.7/24", "10.0.0.2/8", "fe80::1/64", "2001:db8::7/64"}, "[192.168.1.7 10.0.0.2]"},
		{[]string{"127.0.0.1/8", "169.254.3.4/16", "fe80::1/64", "2001:db8::7/64"}, "[2001:db8::7]"},
		{[]string{"127.0.0.1/8", "::1/128"}, "[127.0.0.1]"},
		{nil, "[127.0.0.1]"},
	} {
		var addrs []net.Addr
		for _, s := range test.addrs {
			ip, n, err := net.ParseCIDR(s)
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, &net.IPNet{IP: ip, Mask: n.Mask})
		}
		if got := fmt.Sprint(reachable(addrs)); got != test.want {
			t.Errorf("%v: got %s, want %s", test.addrs, got, test.want)
		}
	}
}

// TestURLsHaveAddresses checks that URLs contain IP addresses, because phones can't resolve the
// name of a Raspberry Pi.
func TestURLsHaveAddresses(t *testing.T) {
	l, err := ListenTCP("0.0.0.0:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, s := range l.URLs() {
		var ip [4]int
		var rest string
		if n, err := fmt.Sscanf(s, "http://%d.%d.%d.%d:%s", &ip[0], &ip[1], &ip[2], &ip[3], &rest); n != 5 {
			t.Errorf("got URL %s, want one with an IPv4 address: %v", s, err)
		}
	}
}
