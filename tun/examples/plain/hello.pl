# A plain TCP client: says hello, and prints what comes back.
#
# sudo mpuser run perl hello.pl 192.168.56.101 7000
use strict;
use warnings;
use IO::Socket::INET;

my ($address, $port) = @ARGV;
my $connection = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, Proto => 'tcp')
    or die "cannot connect: $!\n";
$connection->print("hello from Perl\n");
$connection->flush;
$connection->shutdown(1);
print while <$connection>;
