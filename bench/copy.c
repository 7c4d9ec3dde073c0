/* copy.c - a file copied by the shortest way over TLS 1.3 on loopback: one process reads and
 * sends, another receives, writes and makes it durable at the end. What the installation of a
 * snapshot is measured against.
 *
 *     copy FROM TO                   prints bytes, seconds, bytes_per_s */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (256u << 10)
#define WRITE (1u << 20)

static void die(const char *what)
{
    perror(what);
    _exit(2);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static SSL *tls_on(int fd, bool server)
{
    SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *cert = X509_new();
    int one = 1;
    SSL *s;

    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, NULL);
    SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
    if (SSL_CTX_use_certificate(c, cert) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1)
        die("certificate");
    s = SSL_new(c);
    SSL_set_fd(s, fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((server ? SSL_accept(s) : SSL_connect(s)) != 1)
        die("handshake");
    return s;
}

static void receive(int listener, const char *path)
{
    char *b = malloc(WRITE);
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    SSL *s = tls_on(accept(listener, NULL, NULL), true);
    size_t n = 0;
    int r;

    if (out < 0 || b == NULL)
        die(path);
    do {
        r = SSL_read(s, b + n, (int)(WRITE - n));
        n += r > 0 ? (size_t)r : 0;
        if (n == WRITE || r <= 0) {
            if (write(out, b, n) != (ssize_t)n)
                die(path);
            n = 0;
        }
    } while (r > 0);
    if (fdatasync(out) != 0)
        die(path);
    _exit(0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), in;
    char *b = malloc(BLOCK);
    socklen_t len = sizeof a;
    uint64_t total = 0;
    int status = 1;
    ssize_t got;
    double t;
    SSL *s;

    if (argc != 3 || b == NULL) {
        fprintf(stderr, "usage: copy FROM TO\n");
        return 2;
    }
    in = open(argv[1], O_RDONLY);
    if (in < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&a, &len) != 0)
        die(argv[1]);
    t = now_s();
    if (fork() == 0)
        receive(listener, argv[2]);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        die("connect");
    s = tls_on(fd, false);
    while ((got = read(in, b, BLOCK)) > 0) {
        if (SSL_write(s, b, (int)got) != (int)got)
            die("send");
        total += (uint64_t)got;
    }
    SSL_shutdown(s);
    wait(&status);
    t = now_s() - t;
    printf("bytes=%llu seconds=%.3f bytes_per_s=%.0f\n", (unsigned long long)total, t,
           (double)total / t);
    return got == 0 && status == 0 ? 0 : 1;
}
