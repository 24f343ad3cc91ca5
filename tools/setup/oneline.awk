# One-line sources ("deb [options] URI suite components"): the Debian 12 archive as deb822 fields.
$1 == "deb" {
  line = $0
  signed = ""
  if (match(line, /\[[^]]*\]/)) {
    options = substr(line, RSTART + 1, RLENGTH - 2)
    line = substr(line, 1, RSTART - 1) substr(line, RSTART + RLENGTH)
    count = split(options, option, /[ \t]+/)
    for (i = 1; i <= count; i++) if (option[i] ~ /^signed-by=/) {
      signed = substr(option[i], 11)
      gsub(/,/, " ", signed)
    }
  }
  count = split(line, word, /[ \t]+/)
  if (word[3] != "bookworm" && word[3] != "oldstable") next
  print "URIs: " word[2]
  if (signed != "") print "Signed-By: " signed
  print ""
}
