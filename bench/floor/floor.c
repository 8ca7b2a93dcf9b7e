/* The floor of `bench fanout`: says to its viewers what a chat says, and does nothing else.
 *
 * It answers the few packets that the load client sends to enter a room, by their first bytes, and hands each message
 * to all who entered with one blocking send(2) of a frame made once. No room, no history, no bound, no error handling
 * beyond closing: what is left is the kernel's price. Linux only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, BUFFER = 4096, BATCH = 64, FRAME = 2048 };

struct client {
    int is_upgraded, has_entered;
    size_t size;
    unsigned char data[BUFFER];
};

static struct client *clients[MAX_FD];
static int entered[MAX_FD], entered_count;
static unsigned long sequence;

static const char SWITCHING[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";

static void say(int fd, const void *data, size_t size) {
    if (send(fd, data, size, MSG_NOSIGNAL) < 0)
        shutdown(fd, SHUT_RDWR);
}

static size_t frame(unsigned char *out, const char *text, size_t size) {
    size_t head = size < 126 ? 2 : 4;
    out[0] = 0x81;
    out[1] = size < 126 ? (unsigned char)size : 126;
    if (head == 4) {
        out[2] = (unsigned char)(size >> 8);
        out[3] = (unsigned char)size;
    }
    memcpy(out + head, text, size);
    return head + size;
}

static void answer(int fd, const char *text) {
    unsigned char out[256];
    say(fd, out, frame(out, text, strlen(text)));
}

static void spread(const char *message, int size) {
    char text[FRAME - 8];
    unsigned char out[FRAME];
    int used = snprintf(text, sizeof text,
                        "42/chat,[\"chat:message\",{\"id\":\"0198c0de-0000-7000-8000-000000000001\","
                        "\"liveId\":\"bench-0123456789\",\"userId\":\"0198c0de-0000-7000-8000-000000000002\","
                        "\"displayName\":\"bench0\",\"role\":\"ADMIN\",\"message\":\"%.*s\","
                        "\"timestamp\":\"2025-01-01T00:00:00.000Z\",\"seq\":%lu,\"epoch\":\"0123456789abcdef\"}]",
                        size, message, ++sequence);
    if (used < 0 || used >= (int)sizeof text)
        return;
    size_t all = frame(out, text, (size_t)used);
    for (int i = 0; i < entered_count; i++)
        say(entered[i], out, all);
}

static void packet(int fd, char *text, size_t size) {
    text[size] = 0; /* the byte after a frame is the next one's first, which the caller puts back */
    if (!strncmp(text, "42/chat,0", 9)) {
        if (!clients[fd]->has_entered) {
            clients[fd]->has_entered = 1;
            entered[entered_count++] = fd;
        }
        answer(fd, "43/chat,0[{\"ok\":true}]");
    } else if (!strncmp(text, "42/chat,[", 9)) {
        char *begin = strstr(text, "\"message\": \"");
        char *end = begin ? strchr(begin + 12, '"') : NULL;
        if (end)
            spread(begin + 12, (int)(end - begin - 12));
    } else if (!strncmp(text, "40/chat,", 8))
        answer(fd, "40/chat,{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\"}");
}

/* How many bytes of `data` were a whole, masked frame or the request's head; 0 where more is needed, -1 to hang up. */
static long step(int fd, struct client *client) {
    unsigned char *data = client->data;
    if (!client->is_upgraded) {
        unsigned char *end = memmem(data, client->size, "\r\n\r\n", 4);
        if (!end)
            return client->size < BUFFER - 1 ? 0 : -1;
        client->is_upgraded = 1;
        say(fd, SWITCHING, sizeof SWITCHING - 1);
        return end + 4 - data;
    }
    if (client->size < 2)
        return 0;
    size_t size = data[1] & 0x7f, at = 2;
    if (!(data[1] & 0x80) || size == 127)
        return -1;
    if (size == 126) {
        if (client->size < 4)
            return 0;
        size = ((size_t)data[2] << 8) | data[3];
        at = 4;
    }
    if (at + 4 + size >= BUFFER)
        return -1;
    if (client->size < at + 4 + size)
        return 0;
    for (size_t i = 0; i < size; i++)
        data[at + 4 + i] ^= data[at + (i & 3)];
    if ((data[0] & 0x0f) == 8)
        return -1;
    unsigned char next = data[at + 4 + size];
    packet(fd, (char *)data + at + 4, size);
    data[at + 4 + size] = next;
    return (long)(at + 4 + size);
}

static void drop(int fd) {
    for (int i = 0; i < entered_count; i++)
        if (entered[i] == fd) {
            entered[i] = entered[--entered_count];
            break;
        }
    free(clients[fd]);
    clients[fd] = NULL;
    close(fd);
}

static void readable(int fd) {
    struct client *client = clients[fd];
    if (!client)
        return;
    ssize_t got = recv(fd, client->data + client->size, BUFFER - 1 - client->size, 0);
    if (got <= 0) {
        drop(fd);
        return;
    }
    client->size += (size_t)got;
    long used;
    while (client->size && (used = step(fd, client))) {
        if (used < 0) {
            drop(fd);
            return;
        }
        client->size -= (size_t)used;
        memmove(client->data, client->data + used, client->size);
    }
}

int main(void) {
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, epoll = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096))
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("ready http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            fd = accept(listener, NULL, NULL);
            if (fd < 0 || fd >= MAX_FD)
                continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            clients[fd] = calloc(1, sizeof *clients[fd]);
            event.events = EPOLLIN;
            event.data.fd = fd;
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
