let on_two f = Soil.Domain.each ~domains:2 f
