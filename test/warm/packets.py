# Speaks the launcher's protocol to a server of calls, rightly or wrongly.
#   packets.py fuzz SOCKET BUILD NETNS CONF SEED COUNT   that many connections: half of them begin
#                                             rightly; what was answered, as JSON
#   packets.py ask SOCKET BUILD               one VERSION; "served", or "refused"
#   packets.py silent SOCKET BUILD NETNS CONF an ADD that begins, has no file of the first name, and
#                                             then says nothing more: what it is told, for how long
import array, ctypes, json, os, random, select, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)


def connect(path):
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(path)
    return end


def send(end, packet, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
    try:
        end.sendmsg([packet], rights)
        return True
    except OSError:
        return False


def hear(end, seconds):
    """A packet, b'' at the end, None if nothing comes."""
    if not select.select([end], [], [], seconds)[0]:
        return None
    try:
        return end.recv(200_000)
    except OSError:
        return b''


def request(build, variables, body=b'', fds=1, errno=0, name='tulle'):
    words = [name, *(f'{key}={value}' for key, value in variables.items())]
    header = f'tulle-cni 1 {build} {fds} {errno}\n'.encode()
    return header + b''.join(word.encode() + b'\0' for word in words) + b'\0' + body


def own():
    return os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


def descriptors(dice, count):
    """Of whatever kinds; the first may be what it should be."""
    found = [own()] if count and dice.random() < 0.7 else []
    while len(found) < count:
        kind = dice.randrange(5)
        if kind == 0:
            found.append(os.open('/dev/null', os.O_RDWR))
        elif kind == 1:
            ends = os.pipe()
            found.append(ends[0])
            os.close(ends[1])
        elif kind == 2:
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            found.append(ends[0].detach())
        elif kind == 3:
            raw = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, dice.choice([0, 12]))
            found.append(raw.detach())
        else:
            found.append(own())
    return found


def variables(dice):
    verb = dice.choice(['VERSION', 'VERSION', 'STATUS', 'ADD', 'DEL', 'CHECK', 'GC', '', 'FROB'])
    told = {'CNI_COMMAND': verb, 'CNI_CONTAINERID': dice.choice(['fuzz', '', '../..', 'a' * 9000]),
            'CNI_IFNAME': dice.choice(['eth0', '', 'a/b', 'x' * 40]), 'CNI_PATH': '/none',
            'CNI_NETNS': dice.choice(['/proc/self/ns/net', '', '/dev/null']),
            'TULLE_ATTEMPT': '00' * 8}
    return {key: value for key, value in told.items() if dice.random() < 0.9}


def packet(dice, build):
    conf = b'{"cniVersion":"1.0.0","name":"fuzz","type":"tulle"}'
    body = dice.choice([b'', b'{}', conf, b'\0' * 9,
                        dice.randbytes(dice.randrange(3000)), b'{"a":' * 20_000])
    count = dice.choice([0, 1, 2, 3, 3, 3, 4, 7, 9999999])
    name = dice.choice(['tulle', '', 'bridge', 'portmap', 'loopback', '/', 'é\n'])
    build = dice.choice([build, build, build, build[:-1] + '?', '', 'a b'])
    whole = request(build, variables(dice), body, count, dice.choice([0, 0, 2, 99999]), name)
    kind = dice.randrange(6)
    if kind == 0:
        return dice.randbytes(dice.randrange(200))
    if kind == 1:
        return whole[:dice.randrange(len(whole))]
    if kind == 2:
        changed = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            changed[dice.randrange(min(len(changed), 300))] = dice.randrange(256)
        return bytes(changed)
    return whole


def right(dice, build, pod, conf):
    """What a launcher could say, and its descriptors, one of which may be something else."""
    netns, fds = os.open(pod, os.O_RDONLY | os.O_CLOEXEC), [own()]
    fds += [netns, socket_in(netns)]
    verb = dice.choice(['VERSION', 'STATUS', 'ADD', 'ADD', 'ADD', 'DEL', 'CHECK'])
    told = {'CNI_COMMAND': verb, 'CNI_CONTAINERID': 'fuzz', 'CNI_NETNS': pod, 'CNI_IFNAME': 'eth0',
            'CNI_PATH': '/none', 'TULLE_ATTEMPT': dice.randbytes(8).hex()}
    if dice.random() < 0.5:
        wrong = descriptors(dice, 1)[0]
        os.dup2(wrong, dice.choice(fds[1:]))
        os.close(wrong)
    return request(build, told, conf.encode(), 3), fds


def socket_in(netns):
    here = own()
    libc.setns(netns, 0x40000000)
    inside = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    libc.setns(here, 0x40000000)
    os.close(here)
    return inside.detach()


def fuzz(path, build, pod, conf, seed, count):
    dice = random.Random(seed)
    answers, waiting = {}, []
    for _ in range(count):
        end = connect(path)
        if dice.random() < 0.5:
            first, fds = right(dice, build, pod, conf)
        else:
            first = packet(dice, build)
            fds = descriptors(dice, dice.choice([0, 1, 2, 3, 3, 3, 4, 8, 9, 60]))
        send(end, first, fds)
        for fd in fds:
            os.close(fd)
        if dice.random() < 0.1:
            end.close()
            continue
        word = hear(end, 5)
        answer = 'silence' if word is None else chr(word[0]) if word else 'closed'
        answers[answer] = answers.get(answer, 0) + 1
        if answer == 'R':
            follow(dice, end, waiting, answers)
        else:
            end.close()
    for end in waiting:
        end.close()
    print(json.dumps(answers))


def follow(dice, end, waiting, answers):
    """Taken up: go on, wrongly, or stay silent."""
    kind = dice.randrange(6)
    if kind == 0 and len(waiting) < 50:
        waiting.append(end)
        return
    junk = dice.choice([b'', b'X', b'U', b'GG', dice.randbytes(5000)])
    fds = descriptors(dice, dice.choice([0, 0, 1, 8]))
    send(end, b'G' if kind > 1 else junk, fds)
    if kind > 4:
        send(end, junk, fds)
    for fd in fds:
        os.close(fd)
    while kind > 2:
        word = hear(end, 5)
        if word is None:
            answers['no end'] = answers.get('no end', 0) + 1
        if not word:
            break
        if word[:1] == b'D':
            answers['D'] = answers.get('D', 0) + 1
            break
        if word[:1] in (b'O', b'S'):
            given = descriptors(dice, dice.choice([0, 0, 1, 2, 8]))
            junk = [b'F', b'F', b'E', b'E0', b'E2', b'Eabc', b'', b'F' * 100, b'E999999999999']
            send(end, dice.choice(junk), given)
            for fd in given:
                os.close(fd)
    end.close()


def ask(path, build):
    try:
        end = connect(path)
    except OSError:
        return print('no connection')
    send(end, request(build, {'CNI_COMMAND': 'VERSION'}, b'{}'), [own()])
    if hear(end, 5) != b'R':
        return print('refused')
    send(end, b'G')
    print('served' if (hear(end, 5) or b'')[:1] == b'D' else 'refused')


def silent(path, build, netns, conf):
    here, pod = own(), os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    told = {'CNI_COMMAND': 'ADD', 'CNI_CONTAINERID': 'silent', 'CNI_NETNS': netns,
            'CNI_IFNAME': 'eth0', 'CNI_PATH': '/none', 'TULLE_ATTEMPT': '00' * 8}
    end = connect(path)
    send(end, request(build, told, conf.encode(), 3), [here, pod, socket_in(pod)])
    if hear(end, 5) != b'R':
        return print('refused')
    send(end, b'G')
    start = time.monotonic()
    words = []
    while not words or words[-1] not in 'D':
        word = hear(end, 20)
        if not word:
            break
        words.append(chr(word[0]))
        if words.count('O') == 1 and words[-1] == 'O':
            send(end, b'E2')
    print(json.dumps({'ms': (time.monotonic() - start) * 1000, 'words': ''.join(words)}))


mode, path, build, *rest = sys.argv[1:]
if mode == 'fuzz':
    fuzz(path, build, rest[0], rest[1], int(rest[2]), int(rest[3]))
elif mode == 'ask':
    ask(path, build)
else:
    silent(path, build, rest[0], rest[1])
