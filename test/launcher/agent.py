# An agent for tests, one thread a call: python3 agent.py SOCKET STEPS. STEPS is a JSON list of
# [word, argument…]: what is done with each connection, in order. One line of JSON is printed for
# each thing seen, {"call": number, "saw": word, …}; "ready" comes first.
import array, hashlib, json, os, socket, struct, sys, threading, time

path, steps = sys.argv[1], json.loads(sys.argv[2])
printing = threading.Lock()


def tell(call, saw, **more):
    with printing:
        print(json.dumps({'call': call, 'saw': saw, **more}), flush=True)


def receive(connection):
    """A packet and its descriptors; an empty packet is the end."""
    room = socket.CMSG_SPACE(4 * array.array('i').itemsize)
    try:
        packet, ancillary, _, _ = connection.recvmsg(1 << 20, room)
    except ConnectionResetError:
        return b'', []
    fds = array.array('i')
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return packet, list(fds)


def shown(fd):
    """What a descriptor is: a namespace by its number, a netlink socket by the links it sees."""
    target = os.readlink(f'/proc/self/fd/{fd}')
    if not target.startswith('socket:'):
        return target
    with socket.socket(fileno=os.dup(fd)) as netlink:
        if netlink.family != socket.AF_NETLINK or netlink.proto != 0:
            return f'{netlink.family.name} {netlink.proto}'
        return links_of(netlink)


def links_of(netlink):
    """RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP; IFLA_IFNAME of each answer."""
    netlink.send(struct.pack('=IHHIIBBHiII', 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0, 0))
    names = []
    while True:
        packet, at = netlink.recv(1 << 16), 0
        while at < len(packet):
            length, kind = struct.unpack_from('=IH', packet, at)
            if kind == 3:
                return ' '.join(sorted(names))
            attribute = at + 32
            while attribute < at + length:
                size, name = struct.unpack_from('=HH', packet, attribute)
                if name == 3:
                    names.append(packet[attribute + 4 : attribute + size - 1].decode())
                attribute += (size + 3) & ~3
            at += (length + 3) & ~3


def tell_request(number, packet, fds):
    header, _, rest = packet.partition(b'\n')
    strings, _, given = rest.partition(b'\0\0')
    tell(
        number,
        'request',
        bytes=len(packet),
        header=header.decode(),
        strings=[text.decode() for text in strings.split(b'\0')],
        inputBytes=len(given),
        inputDigest=hashlib.sha256(given).hexdigest(),
        fds=[shown(fd) for fd in fds],
    )


def answer(number, connection):
    packet, fds = receive(connection)
    found = {'text': packet.decode()}
    if packet == b'F':
        target = shown(fds[0])
        found['fd'] = target
        if target.startswith('/proc/'):
            try:
                found['read'] = os.read(fds[0], 99).decode()
            except OSError as refusal:
                found['read'] = refusal.strerror
    tell(number, 'answer', **found)
    for fd in fds:
        os.close(fd)


def attend(number, connection):
    try:
        serve(number, connection)
    except (BrokenPipeError, ConnectionResetError):
        tell(number, 'gone')
    connection.close()


def serve(number, connection):
    for word, *arguments in steps:
        if word == 'request':
            packet, fds = receive(connection)
            if packet:
                tell_request(number, packet, fds)
            for fd in fds:
                os.close(fd)
        elif word == 'say':
            connection.send(arguments[0].encode())
        elif word == 'ask':
            connection.send(arguments[0].encode())
            answer(number, connection)
        elif word == 'fill':
            connection.send(b'D\0' + b'x' * arguments[0])
        elif word == 'hear':
            tell(number, 'word', text=receive(connection)[0].decode())
        elif word == 'sleep':
            time.sleep(arguments[0])
        elif word == 'fds':
            tell(number, 'fds', count=len(os.listdir('/proc/self/fd')))
        elif word == 'stop':
            tell(number, 'stopping')
            time.sleep(arguments[0])


listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path)
listener.listen(4096)
tell(0, 'ready')
number = 0
while True:
    connection, _ = listener.accept()
    number += 1
    threading.Thread(target=attend, args=(number, connection), daemon=True).start()
