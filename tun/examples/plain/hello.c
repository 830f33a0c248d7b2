/* A plain TCP client: says hello, and prints what comes back.
 *
 *   cc -static -o hello hello.c && sudo mpuser run ./hello 192.168.56.101 7000
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char buffer[1024];
	ssize_t length;
	int fd;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: hello ADDRESS PORT\n");
		return 2;
	}
	to.sin_port = htons((unsigned short)atoi(argv[2]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("hello");
		return 1;
	}
	if (write(fd, "hello from C\n", 13) != 13)
		return 1;
	shutdown(fd, SHUT_WR);
	while ((length = read(fd, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)length, stdout);
	close(fd);
	return length == 0 ? 0 : 1;
}
