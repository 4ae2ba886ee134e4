#!/bin/sh
# Verify one event of a feed with openssl alone: verify.sh KEYS.json DATA name=value…
#
# KEYS.json is the feed's key set, DATA a file with the event's data as it came (of HTTP: data_base64, decoded).
# The names are feed, id, source, type, subject, sequence, position, time, dataschema and signature; `feed` is the
# name of the topic. Prints "good KID" and ends with 0, or says what is wrong and ends with 1.
set -eu
keys=$1 data=$2
shift 2
for pair; do
    case ${pair%%=*} in
        feed | id | source | type | subject | sequence | position | time | dataschema | signature) ;;
        *) echo "unknown name: ${pair%%=*}" >&2; exit 2 ;;
    esac
    # What JSON would escape is in none of them.
    case ${pair#*=} in *[\"\\]* | *[[:cntrl:]]*) echo "wrong: a character that no attribute has"; exit 1 ;; esac
    export "event_${pair%%=*}=${pair#*=}"
done
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

decode() { # base64url, which openssl reads once it is plain base64 with its padding
    text=$(tr '_-' '/+')
    while [ $((${#text} % 4)) -ne 0 ]; do text="$text="; done
    printf %s "$text" | openssl base64 -d -A
}
encode() { openssl base64 -A | tr '/+' '_-' | tr -d =; }
hex() { od -An -v -tx1 | tr -d ' \n'; }

# 1. The three parts of the detached JWS (RFC 7515, appendix F): header, nothing, signature.
case $event_signature in *.*.*.*) echo "wrong: the signature is no JWS"; exit 1 ;; *..*) ;;
    *) echo "wrong: the signature is no JWS"; exit 1 ;;
esac
header=${event_signature%%.*} value=${event_signature##*.}
plain=$(printf %s "$header" | decode)
case $plain in *'"alg":"ES256"'*) ;; *) echo "wrong: another algorithm"; exit 1 ;; esac
case $plain in *'"typ":"feed-event+jws"'*) ;; *) echo "wrong: another kind of signature"; exit 1 ;; esac
kid=$(printf %s "$plain" | sed -n 's/.*"kid":"\([^"]*\)".*/\1/p')

# 2. The public key of that name, from the key set (RFC 7517).
key=$(tr -d ' \n\r\t' <"$keys" | tr '{' '\n' | grep -F "\"kid\":\"$kid\"") || {
    echo "wrong: the key $kid is not published"; exit 1; }
x=$(printf %s "$key" | sed -n 's/.*"x":"\([^"]*\)".*/\1/p' | decode | hex)
y=$(printf %s "$key" | sed -n 's/.*"y":"\([^"]*\)".*/\1/p' | decode | hex)
cat >"$folder/key.conf" <<KEY
asn1=SEQUENCE:key
[key]
algorithm=SEQUENCE:algorithm
key=FORMAT:HEX,BITSTRING:04$x$y
[algorithm]
algorithm=OID:id-ecPublicKey
curve=OID:prime256v1
KEY
openssl asn1parse -genconf "$folder/key.conf" -noout -out "$folder/key.der"
openssl pkey -pubin -inform DER -in "$folder/key.der" -out "$folder/key.pem"

# 3. What was signed: this JSON, its names in order, without a space (RFC 8785).
sha256=$(openssl dgst -sha256 -r "$data" | cut -c1-64)
payload=$(printf '{"dataschema":"%s","datasha256":"%s","feed":"%s","id":"%s","position":"%s","sequence":"%s",' \
    "$event_dataschema" "$sha256" "$event_feed" "$event_id" "$event_position" "$event_sequence"
    printf '"source":"%s","subject":"%s","time":"%s","type":"%s"}' \
    "$event_source" "$event_subject" "$event_time" "$event_type")
printf '%s.%s' "$header" "$(printf %s "$payload" | encode)" >"$folder/signed"

# 4. ES256 puts two numbers of 32 bytes side by side; openssl wants them in a SEQUENCE (RFC 7518, 3.4).
numbers=$(printf %s "$value" | decode | hex)
[ ${#numbers} -eq 128 ] || { echo "wrong: the signature is no JWS"; exit 1; }
cat >"$folder/signature.conf" <<SIGNATURE
asn1=SEQUENCE:numbers
[numbers]
r=INTEGER:0x$(printf %s "$numbers" | cut -c1-64)
s=INTEGER:0x$(printf %s "$numbers" | cut -c65-128)
SIGNATURE
openssl asn1parse -genconf "$folder/signature.conf" -noout -out "$folder/signature.der"
if openssl dgst -sha256 -verify "$folder/key.pem" -signature "$folder/signature.der" "$folder/signed" >/dev/null 2>&1
then echo "good $kid"
else echo "wrong: the event is not as it was signed"; exit 1
fi
