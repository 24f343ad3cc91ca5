# One-line sources ("deb [options] URI suite components"): the archives that serve one of the suites in `names`, as deb822 fields.
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
  if (index(" " names " ", " " word[3] " ") == 0) next
  print "URIs: " word[2]
  if (signed != "") print "Signed-By: " signed
  print ""
}
