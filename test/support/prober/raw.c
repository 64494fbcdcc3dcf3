// SCTP without SCTP sockets, which a kernel need not have, and echo requests: by raw sockets. An
// INIT (RFC 9260 section 3.3.2) is answered by an INIT ACK, whose tag says whose answer it is.
#include "prober.h"
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

enum { INIT = 1, INIT_ACK = 2, SCTP_BYTES = 32, ECHO_BYTES = 12 };

static uint32_t crc32c(const uint8_t *bytes, size_t count) {
  uint32_t crc = 0xffffffff;
  for (size_t at = 0; at < count; at++) {
    crc ^= bytes[at];
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}

static void put(uint8_t *at, uint32_t value, int count) {
  while (count--) at[count] = value, value >>= 8;
}

static uint32_t get(const uint8_t *at, int count) {
  uint32_t value = 0;
  while (count--) value = value << 8 | *at++;
  return value;
}

static void send_chunk(int file, const union place *to, const uint16_t ports[2], uint32_t verify,
                       int type, uint32_t tag) {
  uint8_t packet[SCTP_BYTES] = {0};
  put(packet, ports[0], 2);
  put(packet + 2, ports[1], 2);
  put(packet + 4, verify, 4);
  packet[12] = type;
  put(packet + 14, 20, 2);
  put(packet + 16, tag, 4);
  put(packet + 20, 65536, 4); // receiver window
  put(packet + 24, 1, 2);     // outbound streams
  put(packet + 26, 1, 2);     // inbound streams
  put(packet + 28, 1, 4);     // first transmission sequence number
  uint32_t sum = crc32c(packet, sizeof packet);
  memcpy(packet + 8, &sum, 4); // little endian, unlike all else
  union place peer = *to;
  if (peer.any.sa_family == AF_INET6) peer.v6.sin6_port = 0;
  // what the kernel refuses to send (no route) is no answer either
  sendto(file, packet, sizeof packet, 0, &peer.any, size_of(&peer));
}

void send_init(struct pod *pod, const union place *to, uint32_t tag) {
  int is_v6 = to->any.sa_family == AF_INET6;
  uint16_t port = ntohs(is_v6 ? to->v6.sin6_port : to->v4.sin_port);
  send_chunk(pod->sctp[is_v6].watch.file, to, (uint16_t[]){take_port(pod), port}, 0, INIT, tag);
}

static uint16_t checksum(const uint8_t *bytes, size_t count) {
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < count; at += 2) sum += get(bytes + at, 2);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

void send_echo(struct pod *pod, const union place *to, uint32_t tag) {
  int is_v6 = to->any.sa_family == AF_INET6;
  uint8_t packet[ECHO_BYTES] = {is_v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO};
  put(packet + 4, take_port(pod), 2);
  put(packet + 6, 1, 2);
  put(packet + 8, tag, 4);
  // the kernel sums ICMPv6 itself
  if (!is_v6) put(packet + 2, checksum(packet, sizeof packet), 2);
  union place peer = *to;
  if (is_v6) peer.v6.sin6_port = 0;
  sendto(pod->icmp[is_v6].watch.file, packet, sizeof packet, 0, &peer.any, size_of(&peer));
}

static void ready_raw(struct watch *watch, uint32_t events) {
  struct raw *raw = (struct raw *)watch;
  uint8_t bytes[256], *packet;
  (void)events;
  for (;;) {
    union place from;
    socklen_t size = sizeof from;
    ssize_t count = recvfrom(watch->file, bytes, sizeof bytes, 0, &from.any, &size);
    if (count < 0) return;
    packet = bytes;
    if (from.any.sa_family == AF_INET) packet += (bytes[0] & 15) * 4, count -= packet - bytes;
    if (raw->protocol == IPPROTO_SCTP) {
      if (count < SCTP_BYTES) continue;
      uint16_t ports[2] = {get(packet + 2, 2), get(packet, 2)};
      uint32_t tag = get(packet + 16, 4);
      if (packet[12] == INIT) send_chunk(watch->file, &from, ports, tag, INIT_ACK, tag);
      if (packet[12] == INIT_ACK) answer_tagged(get(packet + 4, 4));
    } else if (count >= ECHO_BYTES &&
               packet[0] == (raw->protocol == IPPROTO_ICMP ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) {
      answer_tagged(get(packet + 8, 4));
    }
  }
}

void open_raw(int at) {
  struct pod *pod = enter_pod(at);
  for (int is_v6 = 0; is_v6 < 2; is_v6++) {
    struct raw *both[2] = {&pod->sctp[is_v6], &pod->icmp[is_v6]};
    int protocols[2] = {IPPROTO_SCTP, is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP};
    for (int kind = 0; kind < 2; kind++) {
      int family = is_v6 ? AF_INET6 : AF_INET;
      int file = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocols[kind]);
      if (file < 0) die("raw socket");
      *both[kind] = (struct raw){.watch.ready = ready_raw, .pod = at, .protocol = protocols[kind]};
      watch_file(&both[kind]->watch, file, EPOLLIN);
    }
  }
}
