include Peers
